"""The past judged again is what the detector would have said then: windows, scores and alarms, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from asd_edge.enrollment.effect import Outcome, PastAlarm, difference, replay
from asd_edge.events import AlarmChange, WindowScore
from asd_edge.history.format import Stretch
from asd_edge.judge import Capture, Judge
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import Aggregation, EmbeddedSegments, WindowSpec, score_window
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.scoring.many_windows import score_windows
from tests.edge.tiny_bundle import DIMS, make_tiny_bundle

pytestmark = pytest.mark.once

DECISION = DecisionSpec(on_delay_s=6.0, off_delay_s=6.0)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "b.asd").pipeline()


def conditions(rng: np.random.Generator, count: int = 3) -> ConditionSet:
    known = [
        Condition(f"c{i}", {"references": rng.standard_normal((2, DIMS)).astype(np.float32)}, threshold=0.75)
        for i in range(count)
    ]
    return ConditionSet(NearestCentre(), tuple(known), idle_floor=0.01)


def stretch(rng: np.random.Generator, pipeline: Pipeline, segments: int, *, first: int, began: float) -> Stretch:
    """Sound that wanders slowly between conditions, with idle segments whose embeddings are no numbers."""
    walk = np.cumsum(rng.standard_normal((segments, DIMS)) * 0.4, axis=0) + rng.standard_normal(DIMS)
    power = np.where(rng.random(segments) < 0.15, 0.001, 0.1).astype(np.float32)
    power[segments // 2 : segments // 2 + 9] = 0.001  # the machine stands still for more than a window
    walk[power < 0.01] = np.nan
    frames = np.arange(segments, dtype=np.int64) * pipeline.segment.step
    step_s = pipeline.segment.step * pipeline.front_end.hop / pipeline.front_end.sample_rate
    return Stretch(
        times=began + step_s * np.arange(1, segments + 1),
        first_sample=first + frames * pipeline.front_end.hop,
        segments=EmbeddedSegments(frames, walk.astype(np.float32), power, power * rng.random(segments, np.float32)),
    )


def detected(stretches: Sequence[Stretch], pipeline: Pipeline, known: ConditionSet) -> tuple[list[float], list[float]]:
    """Scores and alarm changes of the real judge, given the segments one by one."""
    judge = Judge("fan", pipeline, known, DECISION)
    scores, changes = [], []
    for part in stretches:
        judge.restart(at=int(part.first_sample[0]))
        _, stop = pipeline.samples_of(part.segments)
        rate = pipeline.front_end.sample_rate
        capture = Capture(zero_time=float(part.times[-1]) - (int(part.first_sample[0]) + stop) / rate)
        for i in range(len(part.times)):
            for event in judge.push(part.segments[i : i + 1], capture):
                if isinstance(event, WindowScore) and event.score is not None:
                    scores.append(event.score)
                elif isinstance(event, AlarmChange) and event.cause == "sound":
                    changes.append(event.since if event.active else event.time)
    return scores, changes


@pytest.mark.parametrize("seed", range(6))
def test_the_past_is_judged_as_the_detector_judges(pipeline: Pipeline, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = conditions(rng)
    stretches = [
        stretch(rng, pipeline, 60, first=0, began=1_000.0),
        stretch(rng, pipeline, 2, first=9_000_000, began=2_000.0),  # shorter than a window
        stretch(rng, pipeline, 90, first=20_000_000, began=3_000.0),
    ]
    scores, changes = detected(stretches, pipeline, known)
    outcome = replay(stretches, pipeline, known, DECISION)
    np.testing.assert_allclose(outcome.scores, scores, rtol=1e-6, atol=1e-7)  # sums of float32 in another order
    ends = [moment for alarm in outcome.alarms for moment in (alarm.since, alarm.until)]
    if len(changes) % 2:  # the last alarm stands to the end
        changes.append(float(outcome.times[-1]))
    np.testing.assert_allclose(ends, changes, atol=1e-3)
    assert len(scores) > 50


def test_there_are_alarms_to_compare(pipeline: Pipeline) -> None:
    counts = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        known = conditions(rng)
        counts.append(len(replay([stretch(rng, pipeline, 60, first=0, began=0.0)], pipeline, known, DECISION).alarms))
    assert sum(counts) >= 3


@pytest.mark.parametrize("aggregation", ["mean", "power"])
@pytest.mark.parametrize("spec", [WindowSpec(1, 1), WindowSpec(4, 1), WindowSpec(5, 3)])
def test_many_windows_are_the_single_ones(pipeline: Pipeline, aggregation: Aggregation, spec: WindowSpec) -> None:
    rng = np.random.default_rng(1)
    known, part = conditions(rng), stretch(rng, pipeline, 40, first=0, began=0.0).segments
    many = score_windows(part, spec, known, aggregation)
    starts = range(0, 40 - spec.segments + 1, spec.every)
    assert many.last.tolist() == [start + spec.segments - 1 for start in starts]
    for start, score, nearest in zip(starts, many.scores, many.nearest, strict=True):
        one = score_window(part[start : start + spec.segments], known, aggregation)
        if one is None:
            assert np.isnan(score)
        else:
            assert (score, nearest) == (pytest.approx(one.score, rel=1e-6), one.condition)


def test_nothing_known_gives_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    part = stretch(np.random.default_rng(0), pipeline, 20, first=0, began=0.0)
    assert replay([part], pipeline, None, DECISION).alarms == ()
    assert len(replay([], pipeline, conditions(np.random.default_rng(0)), DECISION).times) == 0


def test_an_alarm_that_overlaps_one_neither_vanishes_nor_appears() -> None:
    def outcome(*alarms: tuple[float, float]) -> Outcome:
        none = np.empty(0)
        return Outcome(none, none, none, none, (), tuple(PastAlarm(*alarm, "c") for alarm in alarms), ())

    vanish, appear = difference(outcome((0, 10), (20, 30)), outcome((5, 15), (40, 50)))
    assert [alarm.since for alarm in vanish] == [20]
    assert [alarm.since for alarm in appear] == [40]
