"""What a detector says of alarms: through a faulty microphone, a machine that stops, and a detector before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asd_edge.detector import Detector
from asd_edge.events import AlarmChange, Event, WindowScore, WindowState
from asd_edge.pipeline import Pipeline, SegmentStreams
from asd_edge.scoring.aggregation import EmbeddedSegments, WindowSpec
from asd_edge.scoring.conditions import ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block
from tests.edge.sound import RATE, WINDOW, conditions_of, noise, pipeline, tone
from tests.edge.test_detector import changes, scores
from tests.edge.tiny_bundle import STREAMED, make_tiny_bundle

DECISION = DecisionSpec(on_delay_s=0.5, off_delay_s=0.5, deadband=0.1)
SECOND = noise(1.0)
KNOWN = conditions_of(noise(4.0), threshold=0.5)
SOUNDS = {"normal": SECOND, "fault": SECOND + tone(1.0, 3000.0, level=0.2), "silence": 0.0 * SECOND}
WINDOW_SAMPLES = (3 * 8 + 15) * 512 + 1024


@dataclass(frozen=True)
class Told:
    """What a detector said, and what it handed on: the absolute first sample and stream of each segment."""

    events: list[Event]
    handed: list[tuple[int, int]]


def hear(
    story: list[tuple[str, bool]],
    cuts: list[int] = [],  # noqa: B006 -- only read
    *,
    alarm: AlarmChange | None = None,
    at: int = 0,
) -> Told:
    """Let a new detector hear seconds of sound, each through a faulty microphone or a good one, cut into blocks."""
    handed: list[tuple[int, int]] = []

    def keep(origin: int, _zero_time: float, segments: EmbeddedSegments) -> None:
        handed.extend((origin + int(frame) * 512, origin) for frame in segments.first_frame)

    detector = Detector("fan-7", SegmentStreams(pipeline()), KNOWN, DECISION, keep, alarm)
    samples = np.concatenate([SOUNDS[sound] for sound, _ in story] or [SECOND[:0]])
    seconds = range(0, len(samples), RATE)
    edges = sorted({*seconds, *(cut for cut in cuts if cut < len(samples)), len(samples)})
    events: list[Event] = []
    for start, stop in pairwise(edges):
        faults = ("stuck",) if story[start // RATE][1] else ()
        time, arrived = 1000.0 + (at + start) / RATE, 50.0 + (at + stop) / RATE
        events += detector.process(Block(samples[start:stop], at + start, time, arrived, faults))
    return Told(events, handed)


def faulty(story: list[tuple[str, bool]], start: int, stop: int) -> bool:
    """Say whether a faulty microphone heard any of the samples [start, stop)."""
    return any(story[second][1] for second in range(start // RATE, min(len(story), (stop - 1) // RATE + 1)))


stories = st.lists(
    st.tuples(st.sampled_from(["normal", "fault", "fault", "silence"]), st.sampled_from([False, False, False, True])),
    max_size=14,
)


@settings(max_examples=30, deadline=None)
@given(stories)
def test_a_window_is_of_bad_quality_when_it_overlaps_what_a_faulty_microphone_heard(
    story: list[tuple[str, bool]],
) -> None:
    told = hear(story)
    for score in scores(told.events):
        bad = faulty(story, score.start, score.stop)
        assert (score.state is WindowState.BAD_QUALITY) == bad
        assert (score.score is None) == (score.state is not WindowState.SCORED)
        assert (score.threshold is None) == (score.condition is None) == (score.score is None)


@settings(max_examples=30, deadline=None)
@given(stories, st.lists(st.integers(0, 14 * RATE), max_size=8))
def test_any_blocks_of_a_faulty_microphone_give_the_same_events(story: list[tuple[str, bool]], cuts: list[int]) -> None:
    whole, cut = hear(story), hear(story, cuts)
    assert cut.handed == whole.handed
    assert len(cut.events) == len(whole.events)
    for one, other in zip(cut.events, whole.events, strict=True):
        assert type(one) is type(other)
        assert one.score == pytest.approx(other.score, abs=1e-5)
        if isinstance(one, AlarmChange) and isinstance(other, AlarmChange):
            close = {"severity": one.severity, "score": one.score, "since": pytest.approx(other.since)}
            assert replace(one, **close) == replace(other, **close)
            assert one.severity == pytest.approx(other.severity, abs=1)
        elif isinstance(one, WindowScore) and isinstance(other, WindowScore):
            assert (one.start, one.stop, one.state) == (other.start, other.stop, other.state)


@settings(max_examples=30, deadline=None)
@given(stories)
def test_what_a_faulty_microphone_heard_is_handed_on_to_nobody(story: list[tuple[str, bool]]) -> None:
    told = hear(story)
    segment = 15 * 512 + 1024
    heard = len(story) * RATE
    every = list(range(0, max(0, heard - segment + 1), 8 * 512))
    assert [first for first, _ in told.handed] == [f for f in every if not faulty(story, f, f + segment)]
    # Whoever replays it makes the windows that were judged here: none spans what was left out.
    replayed = [
        part[0][0]
        for part in (told.handed[i : i + WINDOW.segments] for i in range(len(told.handed) - WINDOW.segments + 1))
        if len({origin for _, origin in part}) == 1
    ]
    assert replayed == [score.start for score in scores(told.events) if score.state is not WindowState.BAD_QUALITY]


TWICE = [("normal", False)] * 2 + [("fault", False)] * 3 + [("normal", False)] * 3 + [("fault", False)] * 3


@settings(max_examples=60, deadline=None)
@given(stories)
@example(TWICE)
def test_begin_and_end_alternate_and_an_end_names_its_begin(story: list[tuple[str, bool]]) -> None:
    told = hear(story)
    alarm: AlarmChange | None = None
    ended = 0.0
    for before, event in pairwise([None, *told.events]):
        if not isinstance(event, AlarmChange):
            continue
        assert isinstance(before, WindowScore)  # of the window that changed it
        assert event.time == before.time
        if event.cause == "sound":
            assert event.active == (alarm is None)
            assert (event.score, event.threshold, event.condition) == (before.score, before.threshold, "normal")
        if event.begins:
            assert event.since is not None
            assert ended < event.since <= event.time - DECISION.on_delay_s
        if event.cause == "suppression":
            assert event.active
            assert event.score is not None
            assert (before.state is WindowState.SCORED) == (event.suppressed is None)
        if alarm is not None:
            assert event.since == alarm.since
            assert event.severity is not None
            assert alarm.severity is not None
            assert event.severity >= alarm.severity
        alarm, ended = (event, ended) if event.active else (None, event.time)


@settings(max_examples=40, deadline=None)
@given(stories, st.integers(1, 13), st.floats(0.0, 1e6))
def test_a_restart_in_the_middle_of_an_alarm_still_gives_its_end(
    story: list[tuple[str, bool]], second: int, away_s: float
) -> None:
    stood: AlarmChange | None = None
    for change in changes(hear(story[:second]).events):
        stood = change if change.active else None
    after = changes(hear([*story[second:], *[("normal", False)] * 5], alarm=stood, at=int(away_s * RATE)).events)
    ends = [change for change in after if not change.active]
    assert after[-1:] == ends[-1:]  # calm at last
    if stood is not None:
        assert len(ends) >= 1
        assert ends[0].since == stood.since
        assert [change.cause for change in after].index("sound") == after.index(ends[0])


def test_an_alarm_that_ended_does_not_go_on() -> None:
    ended = AlarmChange("fan-7", 900.0, False, 800.0, 0.1, 0.5, "normal", 600)
    assert changes(hear([("normal", False)] * 5, alarm=ended).events) == []


def test_a_context_that_a_faulty_microphone_heard_makes_a_window_bad(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A network that runs with the sound hears more than the window: its reach on either side."""
    bundle = make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "stream.asd", **STREAMED)
    spec = type(bundle.pipeline().segment)(frames=16, step=8)
    subject = replace(bundle.pipeline(), segment=spec, window=WindowSpec(segments=3, every=1))
    reach = subject.context * 512
    assert reach > 0
    clean = judged(subject, None, at=4 * RATE)
    assert {score.state for score in clean} == {WindowState.NOT_ENROLLED}
    for at in (4 * RATE, clean[3].stop + reach, clean[5].start - reach - 512):  # the latter two only touch a window
        spoilt = judged(subject, None, at=at, faults=("stuck",))
        assert len(spoilt) == len(clean)
        for score in spoilt:
            overlaps = score.start - reach < at + 512 and score.stop + reach > at
            assert (score.state is WindowState.BAD_QUALITY) == overlaps


def judged(
    subject: Pipeline, known: ConditionSet | None, *, at: int, faults: tuple[str, ...] = ()
) -> list[WindowScore]:
    """Scores of nine seconds of noise, of which a microphone with `faults` hears one hop at sample `at`."""
    detector = Detector("fan-7", SegmentStreams(subject), known, DECISION)
    samples: NDArray[np.float32] = noise(9.0)
    events: list[Event] = []
    for start, stop, wrong in ((0, at, ()), (at, at + 512, faults), (at + 512, len(samples), ())):
        events += detector.process(Block(samples[start:stop], start, 1000.0 + start / RATE, faults=wrong))
    return scores(events)


def test_a_source_that_stays_away_suppresses_a_standing_alarm_once_and_begins_none() -> None:
    detector = Detector("fan-7", SegmentStreams(pipeline()), KNOWN, DECISION)
    assert detector.unheard(RATE, 1001.0) == []
    fault = np.tile(SOUNDS["fault"], 4)
    (alarm,) = changes(detector.process(Block(fault, 2 * RATE, 1002.0)))
    assert detector.unheard(6 * RATE, 1006.0) == []  # not yet for the off-delay
    (suppressed,) = detector.unheard(7 * RATE, 1007.0)
    assert suppressed == replace(alarm, time=1007.0, suppressed="microphone", cause="suppression")
    assert detector.unheard(8 * RATE, 1008.0) == []
    (again,) = changes(detector.process(Block(fault, 9 * RATE, 1009.0)))
    assert (again.since, again.suppressed, again.cause) == (alarm.since, None, "suppression")


def test_reset_forgets_the_faulty_sound_and_the_alarm() -> None:
    alarm = AlarmChange("fan-7", 900.0, True, 800.0, 0.6, 0.5, "normal", 600)
    detector = Detector("fan-7", SegmentStreams(pipeline()), KNOWN, DECISION, alarm=alarm)
    normal = np.tile(SECOND, 4)
    detector.process(Block(normal, 0, 1000.0, faults=("stuck",)))
    detector.reset()
    events = detector.process(Block(normal, 0, 1000.0))
    assert changes(events) == []
    assert {score.state for score in scores(events)} == {WindowState.SCORED}
