"""What conditions would have made of the last hours: the segments that were heard then, judged again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.history.format import Stretch
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.conditions import ConditionSet
from asd_edge.scoring.decision import DecisionSpec, DecisionState, decide, interrupt
from asd_edge.scoring.many_windows import score_windows


@dataclass(frozen=True, slots=True)
class PastAlarm:
    """An alarm in the past, UTC seconds; `until` is when it ended or the history does."""

    since: float
    until: float
    condition: str


@dataclass(frozen=True)
class Outcome:
    """What a set of conditions makes of a history.

    `times`: UTC seconds of each scored window's end, float64 [windows]; `scores`, `thresholds`: alike. `heard_s`: the
    same ends in seconds of sound, which no clock setting moves: they rise, with a gap wherever hold times break.
    `by_condition`: name of the nearest condition of each window. `spans`: the windows of each of the `alarms`, from
    the first above its threshold to the last.
    """

    times: NDArray[np.float64]
    heard_s: NDArray[np.float64]
    scores: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    by_condition: tuple[str, ...]
    alarms: tuple[PastAlarm, ...]
    spans: tuple[slice, ...]


def replay(
    stretches: Sequence[Stretch],
    pipeline: Pipeline,
    conditions: ConditionSet | None,
    decision: DecisionSpec,
) -> Outcome:
    """Say what the daemon would have made of what was heard; a gap breaks windows and hold times, as it does live."""
    if conditions is None:
        return _NOTHING
    judged: list[_Judged] = []
    begin_s = 0.0
    for stretch in stretches:
        judged.append(_judged(stretch, pipeline, conditions, begin_s))
        length_s = float(stretch.first_sample[-1] - stretch.first_sample[0]) / pipeline.front_end.sample_rate
        begin_s += length_s + 2.0 * pipeline.score_every_s
    found = list(_alarms(judged, decision))
    return Outcome(
        times=np.concatenate([_NONE, *(part.times[part.scored] for part in judged)]),
        heard_s=np.concatenate([_NONE, *(part.heard_s[part.scored] for part in judged)]),
        scores=np.concatenate([_NONE, *(part.scores[part.scored] for part in judged)]),
        thresholds=np.concatenate([_NONE, *(part.thresholds[part.scored] for part in judged)]),
        by_condition=tuple(name for part in judged for name in part.names[part.scored].tolist()),
        alarms=tuple(alarm for alarm, _ in found),
        spans=tuple(span for _, span in found),
    )


_NONE = np.empty(0, np.float64)
_NOTHING = Outcome(_NONE, _NONE, _NONE, _NONE, (), (), ())


@dataclass(frozen=True)
class _Judged:
    """The windows of one stretch, as `Outcome` has them; an idle one has the score NaN."""

    times: NDArray[np.float64]
    heard_s: NDArray[np.float64]
    scores: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    names: NDArray[np.str_]

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which windows have a score."""
        return np.isfinite(self.scores)


def _judged(stretch: Stretch, pipeline: Pipeline, conditions: ConditionSet, begin_s: float) -> _Judged:
    windows = score_windows(stretch.segments, pipeline.window, conditions, pipeline.aggregation)
    thresholds = np.array([condition.threshold for condition in conditions.conditions])
    names = np.array([condition.name for condition in conditions.conditions])
    samples = stretch.first_sample[windows.last] - stretch.first_sample[0]
    return _Judged(
        times=stretch.times[windows.last],
        heard_s=begin_s + samples / pipeline.front_end.sample_rate,
        scores=windows.scores,
        thresholds=thresholds[windows.nearest],
        names=names[windows.nearest],
    )


def _alarms(judged: Sequence[_Judged], decision: DecisionSpec) -> Iterator[tuple[PastAlarm, slice]]:
    """Yield each alarm, and the scored windows from the first above its threshold to its last."""
    state, since, condition, time = DecisionState(), 0.0, "", 0.0
    number = first = 0  # scored windows before this one, and before the first of the alarm
    for part in judged:
        state = interrupt(state)
        columns = (part.times, part.heard_s, part.scores, part.thresholds, part.names)
        for time, heard_s, score, threshold, name in zip(*(column.tolist() for column in columns), strict=True):
            before = state
            if score != score:  # NaN: idle
                state = interrupt(state)
                continue
            state = decide(decision, state, score=score, threshold=threshold, time=heard_s)
            if before.since is None:
                first = number
            if state.active and not before.active:
                assert state.since is not None  # an alarm that begins has begun
                since, condition = time - (heard_s - state.since), name
            elif before.active and not state.active:
                yield PastAlarm(since, time, condition), slice(first, number + 1)
            number += 1
    if state.active:
        yield PastAlarm(since, time, condition), slice(first, number)


def difference(before: Outcome, after: Outcome) -> tuple[list[PastAlarm], list[PastAlarm]]:
    """Return the alarms that would vanish and those that would appear: those that overlap none of the other outcome."""
    vanish = [alarm for alarm in before.alarms if not _overlaps_any(alarm, after.alarms)]
    appear = [alarm for alarm in after.alarms if not _overlaps_any(alarm, before.alarms)]
    return vanish, appear


def _overlaps_any(alarm: PastAlarm, others: Sequence[PastAlarm]) -> bool:
    """Say whether one of `others`, which follow each other in time, stood while `alarm` did."""
    before_its_end = bisect_right(others, alarm.until, key=lambda other: other.since)
    return before_its_end > 0 and others[before_its_end - 1].until >= alarm.since
