"""One machine's detector: blocks of sound in, events out. No threads, no clock."""

from __future__ import annotations

import math

from asd_edge.errors import EngineError
from asd_edge.events import AlarmChange, Event, WindowScore, WindowState
from asd_edge.pipeline import Pipeline, SegmentStream
from asd_edge.scoring.aggregation import EmbeddedSegments, Windows, score_window
from asd_edge.scoring.decision import DecisionSpec, DecisionState, decide, interrupt
from asd_edge.scoring.nearest_centre import ConditionSet
from asd_edge.sources.block import Block


class Detector:
    """Scores a stream of sound against the conditions known of one machine.

    `conditions` may be replaced at any time and holds from the next window on; None means that nothing is known yet
    and windows are reported as NOT_ENROLLED.
    """

    def __init__(
        self, machine: str, pipeline: Pipeline, conditions: ConditionSet | None, decision: DecisionSpec
    ) -> None:
        self.machine = machine
        self.conditions = conditions
        self._pipeline = pipeline
        self._rate = pipeline.front_end.sample_rate
        self._decision_spec = decision
        self._stream = SegmentStream(pipeline)
        self._windows = Windows(pipeline.window)
        self.reset()

    def reset(self) -> None:
        """Forget the sound heard so far and any alarm."""
        self._decision = DecisionState()
        self._restart(at=0)

    def _restart(self, *, at: int) -> None:
        self._stream.reset()
        self._windows.reset()
        self._origin = at  # absolute index of the stream's sample 0
        self._next = at

    def process(self, block: Block) -> list[Event]:
        """Take the next block; return the events it completes.

        A block that does not continue the one before (a gap in the source) starts a new stream: no window spans it.
        """
        if block.start != self._next or self._next == self._origin:
            self._restart(at=block.start)
            self._decision = interrupt(self._decision)
        self._next = block.start + len(block.samples)
        # Sample 0 of the source by the newest block: the wall clock may be set while the source runs.
        self._zero_time = block.time - block.start / self._rate
        events: list[Event] = []
        for window in self._windows.push(self._stream.push(block.samples)):
            events += self._judge(window)
        return events

    def flush(self) -> list[Event]:
        """End the stream: a stream shorter than one window gets one score of what there was."""
        events: list[Event] = []
        for window in self._windows.flush():
            events += self._judge(window)
        return events

    def _judge(self, window: EmbeddedSegments) -> list[Event]:
        start, stop = (self._origin + sample for sample in self._pipeline.samples_of(window))
        time = self._zero_time + stop / self._rate
        level_dbfs = 10.0 * math.log10(max(float(window.power.mean()), 1e-12))
        unscored = (self.machine, start, stop, time)
        if self.conditions is None:
            self._decision = interrupt(self._decision)
            return [WindowScore(*unscored, WindowState.NOT_ENROLLED, level_dbfs)]
        scored = score_window(window, self.conditions, self._pipeline.aggregation)
        if scored is None:
            self._decision = interrupt(self._decision)
            return [WindowScore(*unscored, WindowState.IDLE, level_dbfs)]
        if not math.isfinite(scored.score):
            raise EngineError(
                f"The network gives no number for the sound of {self.machine}",
                found=f"the score {scored.score}",
                expected="a finite distance",
                remedy="Check the bundle with asd-edge score on a known clip; export it again if that fails too.",
            )
        condition = self.conditions.conditions[scored.condition]
        score = WindowScore(
            *unscored,
            WindowState.SCORED,
            level_dbfs,
            score=scored.score,
            threshold=condition.threshold,
            condition=condition.name,
        )
        change = self._decide(score, stop / self._rate)
        return [score] if change is None else [score, change]

    def _decide(self, window: WindowScore, heard_s: float) -> AlarmChange | None:
        """Take the decision's step; hold times run in `heard_s`, seconds of sound, which no clock setting moves."""
        assert window.score is not None
        assert window.threshold is not None
        assert window.condition is not None
        before = self._decision
        after = decide(self._decision_spec, before, score=window.score, threshold=window.threshold, time=heard_s)
        self._decision = after
        if after.active == before.active:
            return None
        since_s = after.since if after.active else before.since
        assert since_s is not None  # an alarm that stands or just ended has begun
        since = window.time - (heard_s - since_s)
        return AlarmChange(
            self.machine, window.time, after.active, since, window.score, window.threshold, window.condition
        )
