"""What conditions would have made of the last hours: the segments that were heard then, judged again."""

from __future__ import annotations

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

    def overlaps(self, other: PastAlarm) -> bool:
        """Whether both stood at some moment."""
        return self.since <= other.until and other.since <= self.until


@dataclass(frozen=True)
class Outcome:
    """What a set of conditions makes of a history.

    `times`: UTC seconds of each scored window's end, float64 [windows]; `scores`, `thresholds`: alike.
    `by_condition`: name of the nearest condition of each window.
    """

    times: NDArray[np.float64]
    scores: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    by_condition: tuple[str, ...]
    alarms: tuple[PastAlarm, ...]


def replay(
    stretches: Sequence[Stretch],
    pipeline: Pipeline,
    conditions: ConditionSet | None,
    decision: DecisionSpec,
) -> Outcome:
    """Say what the daemon would have made of what was heard; a gap breaks windows and hold times, as it does live."""
    if conditions is None:
        return _NOTHING
    judged = [_judged(stretch, pipeline, conditions) for stretch in stretches]
    return Outcome(
        times=np.concatenate([_NONE, *(part.times[part.scored] for part in judged)]),
        scores=np.concatenate([_NONE, *(part.scores[part.scored] for part in judged)]),
        thresholds=np.concatenate([_NONE, *(part.thresholds[part.scored] for part in judged)]),
        by_condition=tuple(name for part in judged for name in part.names[part.scored].tolist()),
        alarms=tuple(_alarms(judged, decision)),
    )


_NONE = np.empty(0, np.float64)
_NOTHING = Outcome(_NONE, _NONE, _NONE, (), ())


@dataclass(frozen=True)
class _Judged:
    """The windows of one stretch. `heard_s`: seconds of sound at each one's end, which no clock setting moves."""

    times: NDArray[np.float64]
    heard_s: NDArray[np.float64]
    scores: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    names: NDArray[np.str_]

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which windows have a score."""
        return np.isfinite(self.scores)


def _judged(stretch: Stretch, pipeline: Pipeline, conditions: ConditionSet) -> _Judged:
    windows = score_windows(stretch.segments, pipeline.window, conditions, pipeline.aggregation)
    thresholds = np.array([condition.threshold for condition in conditions.conditions])
    names = np.array([condition.name for condition in conditions.conditions])
    return _Judged(
        times=stretch.times[windows.last],
        heard_s=stretch.first_sample[windows.last] / pipeline.front_end.sample_rate,
        scores=windows.scores,
        thresholds=thresholds[windows.nearest],
        names=names[windows.nearest],
    )


def _alarms(judged: Sequence[_Judged], decision: DecisionSpec) -> Iterator[PastAlarm]:
    state, since, condition, time = DecisionState(), 0.0, "", 0.0
    for part in judged:
        state = interrupt(state)
        columns = (part.times, part.heard_s, part.scores, part.thresholds, part.names)
        for time, heard_s, score, threshold, name in zip(*(column.tolist() for column in columns), strict=True):
            before = state
            if score != score:  # NaN: idle
                state = interrupt(state)
                continue
            state = decide(decision, state, score=score, threshold=threshold, time=heard_s)
            if state.active and not before.active:
                assert state.since is not None  # an alarm that begins has begun
                since, condition = time - (heard_s - state.since), name
            elif before.active and not state.active:
                yield PastAlarm(since, time, condition)
    if state.active:
        yield PastAlarm(since, time, condition)


def difference(before: Outcome, after: Outcome) -> tuple[list[PastAlarm], list[PastAlarm]]:
    """Return the alarms that would vanish and those that would appear."""
    vanish = [a for a in before.alarms if not any(a.overlaps(b) for b in after.alarms)]
    appear = [b for b in after.alarms if not any(b.overlaps(a) for a in before.alarms)]
    return vanish, appear
