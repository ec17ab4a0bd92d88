"""Detectors: blocks of sound in, events out. No threads, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from asd_edge.events import AlarmChange, Judgement
from asd_edge.judge import Capture, Judge
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.aggregation import EmbeddedSegments
from asd_edge.scoring.conditions import ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block

Heard = Callable[[int, float, EmbeddedSegments], None]
"""Takes segments as they are complete: the absolute index of their stream's sample 0, the UTC seconds of the source's
sample 0, and the segments, which it must not keep: they may be a view of more. What a faulty microphone heard is left
out, and a new stream begins behind it: nothing is learned from it, and no window spans it."""


class Detector:
    """Scores a stream of sound against the conditions known of one machine.

    Args:
        machine: its id.
        streams: what turns sound into embedded segments; detectors that share it can be advanced together.
        conditions: what is known of the machine; may be replaced at any time (see Judge).
        decision: when an alarm begins and ends.
        heard: takes what the network made of the sound, before it is judged; called in `process`.
        alarm: how the machine's alarm stood when the last detector of it ended; None for no alarm.
    """

    def __init__(
        self,
        machine: str,
        streams: SegmentStreams,
        conditions: ConditionSet | None,
        decision: DecisionSpec,
        heard: Heard | None = None,
        alarm: AlarmChange | None = None,
    ) -> None:
        self.machine = machine
        self._streams = streams
        self._heard = heard
        self._rate = streams.pipeline.front_end.sample_rate
        self._judge = Judge(machine, streams.pipeline, conditions, decision, alarm)
        self._capture = Capture()
        self._restart(at=0)

    @property
    def rate(self) -> int:
        """Samples a second that it wants."""
        return self._rate

    @property
    def conditions(self) -> ConditionSet | None:
        """What a window is compared with, from the next one on."""
        return self._judge.conditions

    @conditions.setter
    def conditions(self, conditions: ConditionSet | None) -> None:
        self._judge.conditions = conditions

    def reset(self) -> None:
        """Forget the sound heard so far and any alarm."""
        self._judge.reset()
        self._restart(at=0)

    def _restart(self, *, at: int) -> None:
        self._state = self._streams.initial_state()
        self._judge.restart(at=at)
        self._origin = at  # absolute index of the stream's sample 0
        self._heard_from = 0  # first frame that is handed on of it, behind the last faulty sound
        self._next = at

    def process(self, block: Block) -> list[Judgement]:
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
        self._next = block.start + len(block.samples)
        # Sample 0 of the source by the newest block: the wall clock may be set while the source runs.
        self._capture = Capture(
            zero_time=block.time - block.start / self._rate,
            zero_monotonic=block.arrived - self._next / self._rate,
        )
        if block.faults and len(block.samples):
            self._judge.distrust(block.start, self._next)

    def _complete(self, segments: EmbeddedSegments) -> list[Judgement]:
        if self._heard is not None:
            self._hand_on(segments, self._heard)
        return self._judge.push(segments, self._capture)

    def _hand_on(self, segments: EmbeddedSegments, heard: Heard) -> None:
        """Hand on what no faulty microphone heard; what comes behind other sound is a stream of its own."""
        pipeline, start = self._streams.pipeline, 0
        ends = [i for i in range(len(segments)) if self._is_faulty(segments[i : i + 1])]
        for end in [*ends, len(segments)]:
            if start < end:
                since = self._heard_from
                part = replace(segments[start:end], first_frame=segments.first_frame[start:end] - since)
                heard(self._origin + since * pipeline.front_end.hop, self._capture.zero_time, part)
            if end < len(segments):
                self._heard_from = int(segments.first_frame[end]) + pipeline.segment.step
            start = end + 1

    def _is_faulty(self, segment: EmbeddedSegments) -> bool:
        start, stop = self._streams.pipeline.samples_of(segment)
        return self._judge.distrusts(self._origin + start, self._origin + stop)

    def unheard(self, start: int, time: float) -> list[Judgement]:
        """Take note that the source has failed and does not give the sample `start`, at UTC seconds `time`, either.

        A standing alarm is suppressed once that has lasted for the off-delay.
        """
        return self._judge.unheard(at=start, time=time)

    def flush(self) -> list[Judgement]:
        """End the stream: a stream shorter than one window gets one score of what there was."""
        return self._judge.flush(self._capture)


def advance(detectors: Sequence[Detector], blocks: Sequence[Block]) -> list[list[Judgement] | Exception]:
    """Let each of some detectors take its next block, with one run of the front end and the network for all.

    What goes wrong with one machine is returned in its place and touches no other.

    Args:
        detectors: each once; all of them share their streams.
        blocks: one for each.

    Raises:
        Exception: the network itself cannot run; every detector must be made anew then.
    """
    results: list[list[Judgement] | Exception] = [[] for _ in detectors]
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
