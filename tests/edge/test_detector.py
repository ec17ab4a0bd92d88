"""The detector: the same events for any blocks, and what it says of silence, gaps, new and unknown conditions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asd_edge.detector import Detector
from asd_edge.errors import EngineError
from asd_edge.events import AlarmChange, Event, WindowScore, WindowState
from asd_edge.offline import embed_clip, windows_of
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.aggregation import score_window
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block
from tests.edge.sound import RATE, MeanSpectrum, conditions_of, noise, pipeline, tone

DECISION = DecisionSpec(on_delay_s=0.5, off_delay_s=0.5, deadband=0.1)
NORMAL = noise(4.0)
KNOWN = conditions_of(NORMAL, threshold=0.5)  # NORMAL scores about 0.33, FAULT 0.73
FAULT = NORMAL + tone(4.0, 3000.0, level=0.2)


def detector() -> Detector:
    return Detector("fan-7", SegmentStreams(pipeline()), KNOWN, DECISION)


def feed(subject: Detector, samples: NDArray[np.float32], cuts: list[int] | None = None, *, at: int = 0) -> list[Event]:
    edges = [0, *sorted(cuts or []), len(samples)]
    events: list[Event] = []
    for start, stop in pairwise(edges):
        time, arrived = 1000.0 + (at + start) / RATE, 50.0 + (at + stop) / RATE
        events += subject.process(Block(samples[start:stop], at + start, time, arrived))
    return events


def scores(events: list[Event]) -> list[WindowScore]:
    return [event for event in events if isinstance(event, WindowScore)]


def changes(events: list[Event]) -> list[AlarmChange]:
    return [event for event in events if isinstance(event, AlarmChange)]


def assert_equal(got: list[Event], expected: list[Event]) -> None:
    """Events are equal but for the 4e-6 dB that the matrix product may differ by."""
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert type(one) is type(other)
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert replace(one, score=0.0, **_level(one)) == replace(other, score=0.0, **_level(other))


def _level(event: Event) -> dict[str, float]:
    if not isinstance(event, WindowScore):
        return {}
    assert event.monotonic is not None
    return {"level_dbfs": round(event.level_dbfs, 3), "monotonic": round(event.monotonic, 6)}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, len(NORMAL) + len(FAULT)), max_size=12))
def test_any_blocks_give_the_same_events(cuts: list[int]) -> None:
    samples = np.concatenate([NORMAL, FAULT])
    whole = feed(detector(), samples)
    assert [change.active for change in changes(whole)] == [True]
    assert_equal(feed(detector(), samples, cuts), whole)


def test_scores_are_those_of_the_offline_windows_and_cover_their_samples() -> None:
    events = scores(feed(detector(), NORMAL))
    clip = embed_clip(pipeline(), NORMAL, name="clip")
    windows = windows_of(pipeline(), clip)
    assert len(events) == len(windows) == (125 - 16) // 8 + 1 - 3  # 124 frames; segments; windows of 4
    for event, window in zip(events, windows, strict=True):
        scored = score_window(window, KNOWN, "mean")
        assert scored is not None
        assert event.score == pytest.approx(scored.score, abs=1e-6)
        assert event.start == int(window.first_frame[0]) * 512
        assert event.stop - event.start == (3 * 8 + 15) * 512 + 1024
        assert event.time == pytest.approx(1000.0 + event.stop / RATE)


def test_a_fault_alarms_after_the_on_delay_and_repair_ends_it() -> None:
    events = changes(feed(detector(), np.concatenate([NORMAL, FAULT, NORMAL])))
    assert [change.active for change in events] == [True, False]
    began, ended = events
    assert 1004.0 < began.since <= began.time - DECISION.on_delay_s
    assert began.time < 1008.0 < ended.time
    assert ended.since == pytest.approx(began.since)


def test_silence_is_idle_and_ends_no_alarm() -> None:
    subject = detector()
    events = feed(subject, np.concatenate([FAULT, np.zeros(4 * RATE, dtype=np.float32)]))
    assert [(change.active, change.suppressed) for change in changes(events)] == [(True, None), (True, "stopped")]
    last = scores(events)[-1]
    assert last.state is WindowState.IDLE
    assert (last.score, last.threshold, last.condition) == (None, None, None)


def test_without_any_condition_windows_are_not_enrolled_until_one_is_given() -> None:
    subject = Detector("fan-7", SegmentStreams(pipeline()), None, DECISION)
    first = scores(feed(subject, NORMAL))
    assert {event.state for event in first} == {WindowState.NOT_ENROLLED}
    subject.conditions = KNOWN
    later = scores(feed(subject, NORMAL, at=len(NORMAL)))
    assert {event.state for event in later} == {WindowState.SCORED}
    assert later[0].stop - first[-1].stop == 8 * 512  # no window was lost


def test_no_window_spans_a_gap_in_the_source() -> None:
    subject = detector()
    gap = 5 * RATE
    before = scores(feed(subject, NORMAL))
    after = scores(feed(subject, NORMAL, at=len(NORMAL) + gap))
    assert before[-1].stop <= len(NORMAL)
    assert after[0].start == len(NORMAL) + gap
    assert [a.score for a in after] == pytest.approx([b.score for b in before], abs=1e-6)


def test_reset_equals_new() -> None:
    subject = detector()
    feed(subject, FAULT)
    subject.reset()
    assert_equal(feed(subject, NORMAL), feed(detector(), NORMAL))


def test_nan_in_the_future_never_leaks_into_the_past() -> None:
    poisoned = np.concatenate([NORMAL, np.full(RATE, np.nan, dtype=np.float32)])
    clean = scores(feed(detector(), NORMAL))
    got = scores(feed(detector(), poisoned))[: len(clean)]
    assert [event.score for event in got] == pytest.approx([event.score for event in clean], abs=1e-6)


def test_a_stream_shorter_than_a_window_gets_one_score_at_its_end() -> None:
    subject = detector()
    assert feed(subject, NORMAL[: 20 * 512]) == []
    (event,) = scores(subject.flush())
    assert event.state is WindowState.SCORED
    assert subject.flush() == []


def test_one_bang_raises_no_alarm_with_the_default_hold_times() -> None:
    """A short bang stays in every window that covers it, so the on-delay must be longer than a window."""
    window_s = ((8 - 1) * 32 + 64) * 512 / RATE  # of the shipped recipe
    assert DecisionSpec().on_delay_s > window_s
    samples = noise(20.0)
    samples[160_000:164_800] += noise(0.3, seed=9, level=0.9)
    subject = Detector("fan-7", SegmentStreams(pipeline()), KNOWN, DecisionSpec())
    events = feed(subject, samples)
    assert any(e.score is not None and e.threshold is not None and e.score > e.threshold for e in scores(events))
    assert changes(events) == []


def test_a_network_that_gives_no_numbers_is_an_error_and_never_an_alarm() -> None:
    class Broken(MeanSpectrum):
        def embed(
            self, features: NDArray[np.float32], spectra: NDArray[np.float32] | None = None
        ) -> NDArray[np.float32]:
            return np.full((len(features), self.dims), np.nan, dtype=np.float32)

    subject = Detector("fan-7", SegmentStreams(replace(pipeline(), embedder=Broken())), KNOWN, DECISION)
    with pytest.raises(EngineError, match="no number"):
        feed(subject, NORMAL)


def test_a_pause_or_a_gap_starts_the_on_delay_again() -> None:
    fault = FAULT[: 13 * 16_000 // 8]  # too short for the on-delay
    subject = detector()
    at, events = 0, []
    for _ in range(5):
        events += feed(subject, fault, at=at)
        at += len(fault) + RATE
    assert any(e.score is not None and e.score > 0.5 for e in scores(events))
    assert changes(events) == []


def test_setting_the_clock_moves_times_and_no_hold_time() -> None:
    subject = detector()
    samples = np.concatenate([NORMAL, FAULT])
    events: list[Event] = []
    for start in range(0, len(samples), 4000):
        hour = 3600.0 if start >= len(NORMAL) else 0.0  # the clock is set when the fault begins
        events += subject.process(Block(samples[start : start + 4000], start, 1000.0 + hour + start / RATE))
    (alarm,) = changes(events)
    (same,) = changes(feed(detector(), samples))
    assert alarm.time == pytest.approx(same.time + 3600.0)
    assert alarm.time - alarm.since == pytest.approx(same.time - same.since)
