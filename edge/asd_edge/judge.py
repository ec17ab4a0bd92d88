"""From embedded segments to events: windows, scores, alarms."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from asd_edge.errors import EngineError
from asd_edge.events import AlarmChange, Judgement, Suppression, WindowScore, WindowState
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import EmbeddedSegments, Windows, score_window
from asd_edge.scoring.alarm import AlarmState, cause_of, scored, standing, unscored
from asd_edge.scoring.conditions import ConditionSet
from asd_edge.scoring.decision import DecisionSpec

_SUPPRESSES: dict[WindowState, Suppression] = {WindowState.IDLE: "stopped", WindowState.BAD_QUALITY: "microphone"}


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
        alarm: how the machine's alarm stood when the last detector of it ended; None for no alarm.
    """

    def __init__(
        self,
        machine: str,
        pipeline: Pipeline,
        conditions: ConditionSet | None,
        decision: DecisionSpec,
        alarm: AlarmChange | None = None,
    ) -> None:
        self.machine = machine
        self.conditions = conditions
        self._pipeline = pipeline
        self._rate = pipeline.front_end.sample_rate
        self._context = pipeline.context * pipeline.front_end.hop  # samples beside a window that its score depends on
        self._spec = decision
        self._windows = Windows(pipeline.window)
        self._alarm: AlarmChange | None  # the one that stands, as it was announced
        self.reset()
        if alarm is not None and alarm.active:
            assert alarm.severity is not None  # an alarm that stands has one
            self._alarm = alarm
            self._state = standing(alarm.severity, alarm.suppressed)

    def reset(self) -> None:
        """Forget the segments heard so far and any alarm."""
        self._state = AlarmState()
        self._alarm = None
        self.restart(at=0)

    def restart(self, *, at: int) -> None:
        """Begin a new stream, whose sample 0 has the absolute index `at`. A gap interrupts hold times, not an alarm."""
        self._windows.reset()
        self._origin = at
        self._faulty: list[tuple[int, int]] = []
        self._state = unscored(self._spec, self._state, None, time=at / self._rate)

    def distrust(self, start: int, stop: int) -> None:
        """Take note that a faulty microphone heard the samples [start, stop), before the segments that they complete.

        Every window that has heard one of them is of bad quality.
        """
        # A window to come is not older than what the first score of a stream needs; twice that is ample.
        oldest = start - 2 * self._pipeline.first_score_samples
        self._faulty = [part for part in self._faulty if part[1] > oldest]
        if self._faulty and self._faulty[-1][1] == start:
            start = self._faulty.pop()[0]
        self._faulty.append((start, stop))

    def distrusts(self, start: int, stop: int) -> bool:
        """Return whether a score of the samples [start, stop) would depend on what a faulty microphone heard."""
        heard_from, heard_to = start - self._context, stop + self._context
        return any(begin < heard_to and end > heard_from for begin, end in self._faulty)

    def push(self, segments: EmbeddedSegments, capture: Capture) -> list[Judgement]:
        """Take the next segments of the stream; return the events they complete."""
        return self._judged(self._windows.push(segments), capture)

    def flush(self, capture: Capture) -> list[Judgement]:
        """End the stream: one shorter than a window gets one score of what there was."""
        return self._judged(self._windows.flush(), capture)

    def unheard(self, *, at: int, time: float) -> list[Judgement]:
        """Take note that the source has failed: sample `at` of the stream, UTC seconds `time`, was not heard either."""
        heard_s = at / self._rate
        return [*self._changed(unscored(self._spec, self._state, "microphone", time=heard_s), time, heard_s)]

    def _judged(self, windows: Iterable[EmbeddedSegments], capture: Capture) -> list[Judgement]:
        return [event for window in windows for event in self._judge(window, capture)]

    def _judge(self, window: EmbeddedSegments, capture: Capture) -> list[Judgement]:
        start, stop = (self._origin + sample for sample in self._pipeline.samples_of(window))
        heard_s = stop / self._rate  # hold times run in seconds of sound, which no clock setting moves
        time = capture.zero_time + heard_s
        # Samples that are no number make a segment idle, and silent in the level: JSON knows no NaN.
        power = float(np.nan_to_num(window.power).mean())
        score = WindowScore(
            self.machine,
            start,
            stop,
            time,
            WindowState.BAD_QUALITY,
            level_dbfs=10.0 * math.log10(max(power, 1e-12)),
            monotonic=None if capture.zero_monotonic is None else capture.zero_monotonic + heard_s,
        )
        if not self.distrusts(start, stop):
            score = self._scored(score, window)
        if score.score is None or score.threshold is None:
            after = unscored(self._spec, self._state, _SUPPRESSES.get(score.state), time=heard_s)
        else:
            after = scored(self._spec, self._state, score=score.score, threshold=score.threshold, time=heard_s)
        return [score, *self._changed(after, time, heard_s, score)]

    def _scored(self, unjudged: WindowScore, window: EmbeddedSegments) -> WindowScore:
        conditions = self.conditions  # once: another thread may replace it
        if conditions is None:
            return replace(unjudged, state=WindowState.NOT_ENROLLED)
        found = score_window(window, conditions, self._pipeline.aggregation)
        if found is None:
            return replace(unjudged, state=WindowState.IDLE)
        if not math.isfinite(found.score):
            raise EngineError(
                f"The network gives no number for the sound of {self.machine}",
                found=f"the score {found.score}",
                expected="a finite distance",
                remedy="Check the bundle with asd-edge score on a known clip; export it again if that fails too.",
            )
        nearest = conditions.conditions[found.condition]
        return replace(
            unjudged,
            state=WindowState.SCORED,
            score=found.score,
            threshold=nearest.threshold,
            condition=nearest.name,
        )

    def _changed(
        self, after: AlarmState, time: float, heard_s: float, window: WindowScore | None = None
    ) -> list[AlarmChange]:
        """Take the next state of the alarm; return what is announced of it, if anything."""
        before, self._state = self._state, after
        cause = cause_of(before, after)
        if cause is None:
            return []
        alarm = self._alarm or self._begun(after, time, heard_s)
        if window is not None and window.score is not None:
            alarm = replace(alarm, score=window.score, threshold=window.threshold, condition=window.condition)
        alarm = replace(
            alarm,
            time=time,
            active=after.active,
            severity=after.severity or alarm.severity,  # it ends with the severity it had
            suppressed=after.suppressed,
            cause=cause,
        )
        self._alarm = alarm if after.active else None
        return [alarm]

    def _begun(self, state: AlarmState, time: float, heard_s: float) -> AlarmChange:
        assert state.decision.since is not None  # an alarm that begins has begun
        return AlarmChange(self.machine, time, active=True, since=time - (heard_s - state.decision.since))
