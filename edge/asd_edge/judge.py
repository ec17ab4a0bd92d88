"""From embedded segments to events: windows, scores, alarms."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from asd_edge.errors import EngineError
from asd_edge.events import AlarmChange, Judgement, WindowScore, WindowState
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import EmbeddedSegments, Windows, score_window
from asd_edge.scoring.conditions import ConditionSet
from asd_edge.scoring.decision import DecisionSpec, DecisionState, decide, interrupt


@dataclass(frozen=True, slots=True)
class Capture:
    """When a stream was captured: UTC and monotonic seconds of its sample 0."""

    zero_time: float = 0.0
    zero_monotonic: float | None = None


class Judge:
    """Judges the segments of one machine's stream against the conditions known of it.

    `conditions` may be replaced at any time and holds from the next window on; None means that nothing is known yet
    and windows are reported as NOT_ENROLLED.

    Args:
        machine: its id.
        pipeline: that embedded the segments.
        conditions: what is known of the machine.
        decision: when an alarm begins and ends.
    """

    def __init__(
        self, machine: str, pipeline: Pipeline, conditions: ConditionSet | None, decision: DecisionSpec
    ) -> None:
        self.machine = machine
        self.conditions = conditions
        self._pipeline = pipeline
        self._rate = pipeline.front_end.sample_rate
        self._spec = decision
        self._windows = Windows(pipeline.window)
        self.reset()

    def reset(self) -> None:
        """Forget the segments heard so far and any alarm."""
        self._decision = DecisionState()
        self.restart(at=0)

    def restart(self, *, at: int) -> None:
        """Begin a new stream, whose sample 0 has the absolute index `at`. A gap interrupts hold times, not an alarm."""
        self._windows.reset()
        self._origin = at
        self._decision = interrupt(self._decision)

    def push(self, segments: EmbeddedSegments, capture: Capture) -> list[Judgement]:
        """Take the next segments of the stream; return the events they complete."""
        return self._judged(self._windows.push(segments), capture)

    def flush(self, capture: Capture) -> list[Judgement]:
        """End the stream: one shorter than a window gets one score of what there was."""
        return self._judged(self._windows.flush(), capture)

    def _judged(self, windows: Iterable[EmbeddedSegments], capture: Capture) -> list[Judgement]:
        return [event for window in windows for event in self._judge(window, capture)]

    def _judge(self, window: EmbeddedSegments, capture: Capture) -> list[Judgement]:
        start, stop = (self._origin + sample for sample in self._pipeline.samples_of(window))
        time = capture.zero_time + stop / self._rate
        monotonic = None if capture.zero_monotonic is None else capture.zero_monotonic + stop / self._rate
        # Samples that are no number make a segment idle, and silent in the level: JSON knows no NaN.
        power = float(np.nan_to_num(window.power).mean())
        level_dbfs = 10.0 * math.log10(max(power, 1e-12))
        unscored = (self.machine, start, stop, time)
        conditions = self.conditions  # once: another thread may replace it
        if conditions is None:
            self._decision = interrupt(self._decision)
            return [WindowScore(*unscored, WindowState.NOT_ENROLLED, level_dbfs, monotonic=monotonic)]
        scored = score_window(window, conditions, self._pipeline.aggregation)
        if scored is None:
            self._decision = interrupt(self._decision)
            return [WindowScore(*unscored, WindowState.IDLE, level_dbfs, monotonic=monotonic)]
        if not math.isfinite(scored.score):
            raise EngineError(
                f"The network gives no number for the sound of {self.machine}",
                found=f"the score {scored.score}",
                expected="a finite distance",
                remedy="Check the bundle with asd-edge score on a known clip; export it again if that fails too.",
            )
        condition = conditions.conditions[scored.condition]
        score = WindowScore(
            *unscored,
            WindowState.SCORED,
            level_dbfs,
            score=scored.score,
            threshold=condition.threshold,
            condition=condition.name,
            monotonic=monotonic,
        )
        change = self._decide(score, stop / self._rate)
        return [score] if change is None else [score, change]

    def _decide(self, window: WindowScore, heard_s: float) -> AlarmChange | None:
        """Take the decision's step; hold times run in `heard_s`, seconds of sound, which no clock setting moves."""
        assert window.score is not None
        assert window.threshold is not None
        assert window.condition is not None
        before = self._decision
        after = decide(self._spec, before, score=window.score, threshold=window.threshold, time=heard_s)
        self._decision = after
        if after.active == before.active:
            return None
        since_s = after.since if after.active else before.since
        assert since_s is not None  # an alarm that stands or just ended has begun
        since = window.time - (heard_s - since_s)
        return AlarmChange(
            self.machine, window.time, after.active, since, window.score, window.threshold, window.condition
        )
