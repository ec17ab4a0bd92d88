"""Detectors: blocks of sound in, events out. No threads, no clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from asd_edge.errors import EngineError
from asd_edge.events import AlarmChange, Event, WindowScore, WindowState
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.aggregation import EmbeddedSegments, Windows, score_window
from asd_edge.scoring.decision import DecisionSpec, DecisionState, decide, interrupt
from asd_edge.scoring.nearest_centre import ConditionSet
from asd_edge.sources.block import Block

Heard = Callable[[int, float, EmbeddedSegments], None]
"""Takes segments as they are complete: the absolute index of their stream's sample 0, the UTC seconds of the source's
sample 0, and the segments, which it must not keep: they may be a view of more."""


class Detector:
    """Scores a stream of sound against the conditions known of one machine.

    `conditions` may be replaced at any time and holds from the next window on; None means that nothing is known yet
    and windows are reported as NOT_ENROLLED.

    Args:
        machine: its id.
        streams: what turns sound into embedded segments; detectors that share it can be advanced together.
        conditions: what is known of the machine.
        decision: when an alarm begins and ends.
        heard: takes what the network made of the sound, before it is judged; called in `process`.
    """

    def __init__(
        self,
        machine: str,
        streams: SegmentStreams,
        conditions: ConditionSet | None,
        decision: DecisionSpec,
        heard: Heard | None = None,
    ) -> None:
        self.machine = machine
        self.conditions = conditions
        self._streams = streams
        self._heard = heard
        self._pipeline = streams.pipeline
        self._rate = self._pipeline.front_end.sample_rate
        self._decision_spec = decision
        self._windows = Windows(self._pipeline.window)
        self.reset()

    @property
    def rate(self) -> int:
        """Samples a second that it wants."""
        return self._rate

    def reset(self) -> None:
        """Forget the sound heard so far and any alarm."""
        self._decision = DecisionState()
        self._restart(at=0)

    def _restart(self, *, at: int) -> None:
        self._state = self._streams.initial_state()
        self._windows.reset()
        self._origin = at  # absolute index of the stream's sample 0
        self._next = at

    def process(self, block: Block) -> list[Event]:
        """Take the next block; return the events it completes.

        A block that does not continue the one before (a gap in the source) starts a new stream: no window spans it,
        and there is no score until the new stream has warmed up and filled a window.

        Raises:
            ValueError: samples of more than one dimension; nothing has changed then.
            EngineError: the network gives no number.
        """
        [events] = advance([self], [block])
        if isinstance(events, Exception):
            raise events
        return events

    def _begin(self, block: Block) -> None:
        if block.samples.ndim != 1:
            raise ValueError(f"samples of one channel have one dimension, not {block.samples.ndim}")
        if block.start != self._next or self._next == self._origin:
            self._restart(at=block.start)
            self._decision = interrupt(self._decision)
        self._next = block.start + len(block.samples)
        # Sample 0 of the source by the newest block: the wall clock may be set while the source runs.
        self._zero_time = block.time - block.start / self._rate
        self._zero_monotonic = block.arrived - self._next / self._rate

    def _complete(self, segments: EmbeddedSegments) -> list[Event]:
        if self._heard is not None:
            self._heard(self._origin, self._zero_time, segments)
        return [event for window in self._windows.push(segments) for event in self._judge(window)]

    def flush(self) -> list[Event]:
        """End the stream: a stream shorter than one window gets one score of what there was."""
        return [event for window in self._windows.flush() for event in self._judge(window)]

    def _judge(self, window: EmbeddedSegments) -> list[Event]:
        start, stop = (self._origin + sample for sample in self._pipeline.samples_of(window))
        time = self._zero_time + stop / self._rate
        monotonic = self._zero_monotonic + stop / self._rate
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


def advance(detectors: Sequence[Detector], blocks: Sequence[Block]) -> list[list[Event] | Exception]:
    """Let each of some detectors take its next block, with one run of the front end and the network for all.

    What goes wrong with one machine is returned in its place and touches no other.

    Args:
        detectors: each once; all of them share their streams.
        blocks: one for each.

    Raises:
        Exception: the network itself cannot run; every detector must be made anew then.
    """
    results: list[list[Event] | Exception] = [[] for _ in detectors]
    fit: list[int] = []
    for i, (detector, block) in enumerate(zip(detectors, blocks, strict=True)):
        try:
            detector._begin(block)
            fit.append(i)
        except Exception as error:
            results[i] = error
    if fit:
        states = [detectors[i]._state for i in fit]
        segments = detectors[fit[0]]._streams.advance(states, [blocks[i].samples for i in fit])
        for i, complete in zip(fit, segments, strict=True):
            try:
                results[i] = detectors[i]._complete(complete)
            except Exception as error:
                results[i] = error
    return results
