"""Many machines in one batch: each hears what it would hear alone, and what fails fails alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.detector import Detector, advance
from asd_edge.errors import EngineError
from asd_edge.events import Event, WindowScore, WindowState
from asd_edge.offline import embed_clip, idle_floor_of
from asd_edge.pipeline import Pipeline, SegmentStreams
from asd_edge.scoring.aggregation import WindowSpec
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block
from tests.edge.sound import RATE, noise
from tests.edge.tiny_bundle import STREAMED, make_tiny_bundle

SECONDS = 9.0
HOP = 512


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The tiny network with the sound; segments of 16 frames every 8, a window of 3."""
    bundle = make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "stream.asd", **STREAMED)
    spec = type(bundle.pipeline().segment)(frames=16, step=8)
    return replace(bundle.pipeline(), segment=spec, window=WindowSpec(segments=3, every=1))


@pytest.fixture(scope="module")
def known(pipeline: Pipeline) -> ConditionSet:
    clip = embed_clip(pipeline, noise(6.0), name="normal")
    fitted = NearestCentre().fit({"normal": [clip.segments.embeddings]})
    return ConditionSet(NearestCentre(), (Condition("normal", fitted, 0.01),), idle_floor_of([clip]))


def sound(machine: int) -> NDArray[np.float32]:
    return noise(SECONDS, seed=machine, level=0.05 * (1 + machine % 4))


def detectors(pipeline: Pipeline, known: ConditionSet | None, count: int) -> list[Detector]:
    streams = SegmentStreams(pipeline)
    return [Detector(f"m{i}", streams, known, DecisionSpec()) for i in range(count)]


def block(samples: NDArray[np.float32], start: int, size: int) -> Block:
    part = samples[start : start + size]
    return Block(part, start, 1000.0 + start / RATE, arrived=(start + len(part)) / RATE)


def alone(pipeline: Pipeline, known: ConditionSet, samples: NDArray[np.float32], size: int) -> list[Event]:
    [subject] = detectors(pipeline, known, 1)
    return [e for at in range(0, len(samples), size) for e in subject.process(block(samples, at, size))]


def assert_alike(found: list[Event], expected: list[Event]) -> None:
    assert [(e.start, e.stop, e.state) for e in scores(found)] == [(e.start, e.stop, e.state) for e in scores(expected)]
    for one, other in zip(scores(found), scores(expected), strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert one.monotonic == pytest.approx(other.monotonic, abs=1e-6)


def scores(events: list[Event]) -> list[WindowScore]:
    return [event for event in events if isinstance(event, WindowScore)]


def test_a_batch_says_what_each_machine_says_alone(pipeline: Pipeline, known: ConditionSet) -> None:
    together = detectors(pipeline, known, 5)
    found: list[list[Event]] = [[] for _ in together]
    for at in range(0, len(sound(0)), 2 * HOP):
        for i, events in enumerate(advance(together, [block(sound(i), at, 2 * HOP) for i in range(5)])):
            assert isinstance(events, list)
            found[i] += events
    for i, events in enumerate(found):
        assert len(events) > 10
        assert_alike(events, alone(pipeline, known, sound(i), 4000))


def test_what_is_wrong_with_one_machine_touches_no_other(pipeline: Pipeline, known: ConditionSet) -> None:
    together = detectors(pipeline, known, 4)
    found: list[list[Event]] = [[] for _ in together]
    errors: list[set[type[Exception]]] = [set() for _ in together]
    for at in range(0, len(sound(0)), 2 * HOP):
        blocks = [block(sound(i), at, 2 * HOP) for i in range(4)]
        if at > 40 * HOP:
            blocks[1] = replace(blocks[1], samples=np.full(2 * HOP, np.nan, np.float32))  # its microphone runs mad
            blocks[2] = replace(blocks[2], samples=np.zeros((2 * HOP, 2), np.float32))  # its source forgot to choose
        for i, result in enumerate(advance(together, blocks)):
            if isinstance(result, Exception):
                errors[i].add(type(result))
            else:
                found[i] += result
    assert errors == [set(), set(), {ValueError}, set()]
    mad = scores(found[1])[-5:]
    assert {event.state for event in mad} == {WindowState.IDLE}  # no sound, no score
    assert all(np.isfinite(event.level_dbfs) for event in mad)
    for i in (0, 3):
        assert_alike(found[i], alone(pipeline, known, sound(i), 4000))


def test_a_machine_recovers_from_samples_that_are_no_numbers(pipeline: Pipeline, known: ConditionSet) -> None:
    """The network forgets within its reach, and sums are never subtracted: no NaN stays."""
    [subject] = detectors(pipeline, known, 1)
    samples = sound(1)
    samples[40_000:40_100] = np.nan
    found: list[WindowScore] = []
    for at in range(0, len(samples), HOP):
        with suppress(EngineError):  # a segment beside them is no number either
            found += scores(subject.process(block(samples, at, HOP)))
    behind = 40_100 + 3 * HOP + 1024  # the last frame that overlaps them is out of the context
    clean = [event for event in found if event.start > behind]
    expected = scores(alone(pipeline, known, sound(1), 4000))
    assert len(clean) > 5
    assert_alike(list(clean), list(expected[-len(clean) :]))


def test_after_a_gap_nothing_is_scored_until_the_network_is_warm(pipeline: Pipeline, known: ConditionSet) -> None:
    """The first score after a start or a gap needs a window of segments and the reach on both sides of it."""
    segments, step = pipeline.window.segments, pipeline.segment.step
    frames = pipeline.segment.frames + (segments - 1) * step + 2 * 3
    due = (frames - 1) * HOP + 1024
    assert pipeline.first_score_samples == due
    [subject] = detectors(pipeline, known, 1)
    arrivals = []
    for origin in (0, 1_000_000):
        for at in range(0, 80_000, 128):
            events = subject.process(Block(sound(2)[at : at + 128], origin + at, 0.0))
            if events:
                arrivals.append((origin, at + 128))
                first = scores(events)[0]
                assert first.start == origin + 3 * HOP  # behind the warm-up
                assert first.stop == origin + due - 3 * HOP
                break
    assert arrivals == [(0, -(-due // 128) * 128), (1_000_000, -(-due // 128) * 128)]


def test_an_idle_machine_has_no_score_and_an_unknown_one_says_so(pipeline: Pipeline, known: ConditionSet) -> None:
    silent, unknown = detectors(pipeline, known, 2)
    unknown.conditions = None
    samples = [np.zeros(60_000, np.float32), sound(1)[:60_000]]
    results = advance([silent, unknown], [Block(s, 0, 0.0) for s in samples])
    states = [{e.state for e in scores(r)} for r in results if isinstance(r, list)]
    assert states == [{WindowState.IDLE}, {WindowState.NOT_ENROLLED}]


def test_capture_times_follow_the_samples_and_not_the_blocks(pipeline: Pipeline, known: ConditionSet) -> None:
    [subject] = detectors(pipeline, known, 1)
    found = [e for at in range(0, 100_000, 5000) for e in scores(subject.process(block(sound(3), at, 5000)))]
    assert len(found) > 5
    for score in found:
        assert score.time == pytest.approx(1000.0 + score.stop / RATE)
        assert score.monotonic == pytest.approx(score.stop / RATE)
