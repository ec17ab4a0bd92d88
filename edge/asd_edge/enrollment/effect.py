"""What conditions would have made of the last hours: the segments that were heard then, judged again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.events import AlarmChange, Judgement, WindowScore
from asd_edge.history.format import Stretch
from asd_edge.judge import Capture, Judge
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.conditions import ConditionSet
from asd_edge.scoring.decision import DecisionSpec


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
    """Judge what was heard as the daemon would have with these conditions; a gap breaks windows and hold times."""
    judge = Judge("history", pipeline, conditions, decision)
    events: list[Judgement] = []
    rate = pipeline.front_end.sample_rate
    for stretch in stretches:
        if not len(stretch.times):
            continue
        judge.restart(at=0)
        _, stop = pipeline.samples_of(stretch.segments)
        events += judge.push(stretch.segments, Capture(zero_time=float(stretch.times[-1]) - stop / rate))
    scored = [e for e in events if isinstance(e, WindowScore) and e.score is not None]
    return Outcome(
        times=np.array([e.time for e in scored], dtype=np.float64),
        scores=np.array([e.score for e in scored], dtype=np.float64),
        thresholds=np.array([e.threshold for e in scored], dtype=np.float64),
        by_condition=tuple(e.condition or "" for e in scored),
        alarms=tuple(_alarms(events, end=scored[-1].time if scored else 0.0)),
    )


def _alarms(events: Sequence[Judgement], *, end: float) -> list[PastAlarm]:
    alarms: list[PastAlarm] = []
    begun: AlarmChange | None = None
    for event in events:
        if isinstance(event, AlarmChange):
            if event.active:
                begun = event
            elif begun is not None:
                alarms.append(PastAlarm(begun.since, event.time, begun.condition))
                begun = None
    if begun is not None:
        alarms.append(PastAlarm(begun.since, max(end, begun.since), begun.condition))
    return alarms


def difference(before: Outcome, after: Outcome) -> tuple[list[PastAlarm], list[PastAlarm]]:
    """Return the alarms that would vanish and those that would appear."""
    vanish = [a for a in before.alarms if not any(a.overlaps(b) for b in after.alarms)]
    appear = [b for b in after.alarms if not any(b.overlaps(a) for a in before.alarms)]
    return vanish, appear
