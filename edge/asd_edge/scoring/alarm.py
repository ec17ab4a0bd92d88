"""An alarm and what is said of it while it stands, severity and suppression, as pure steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from asd_edge.events import AlarmCause, Suppression
from asd_edge.scoring.decision import DecisionSpec, DecisionState, decide, interrupt

SEVERITY_STEP = 100
"""A standing alarm is announced anew when its severity has risen by so much: nine times at most."""


# OPC UA (part 5, 6.4.2): 1 to 1000, higher is more urgent; what deserves which is left open. [ours]
# severity = s + (1000 - s) · (1 - threshold / score), s = severity at the threshold: each doubling of the score halves
# what is missing to 1000. Real faults score 1 to 5 times the threshold, and of two the worse always has more.
def severity_of(spec: DecisionSpec, *, score: float, threshold: float) -> int:
    """Return the severity of a score, `spec.severity` to 1000; of one that is not above the threshold, the least."""
    excess = 1.0 - threshold / score if 0.0 < threshold < score else float(score > threshold)
    return round(spec.severity + (1_000 - spec.severity) * excess)


@dataclass(frozen=True, slots=True)
class AlarmState:
    """`severity`: as announced, None while no alarm stands. `suppressed`: why nothing can be said of a standing alarm.

    `unscored`: why the windows since then, seconds of capture time, had no score; None when the last one had.
    """

    decision: DecisionState = field(default_factory=DecisionState)
    severity: int | None = None
    suppressed: Suppression | None = None
    unscored: tuple[Suppression, float] | None = None

    @property
    def active(self) -> bool:
        """Whether an alarm stands."""
        return self.decision.active


def standing(severity: int, suppressed: Suppression | None) -> AlarmState:
    """Return the state of an alarm that an earlier detector left standing; hold times begin anew."""
    return AlarmState(DecisionState(active=True), severity, suppressed)


def scored(spec: DecisionSpec, state: AlarmState, *, score: float, threshold: float, time: float) -> AlarmState:
    """Return the state after a window with a score, which ends a suppression."""
    decision = decide(spec, state.decision, score=score, threshold=threshold, time=time)
    if not decision.active:
        return AlarmState(decision)
    severity = severity_of(spec, score=score, threshold=threshold)
    if state.severity is not None and severity < state.severity + SEVERITY_STEP:
        severity = state.severity
    return AlarmState(decision, severity)


def unscored(spec: DecisionSpec, state: AlarmState, why: Suppression | None, *, time: float) -> AlarmState:
    """Return the state after a window without a score, or a gap in the sound.

    An alarm neither begins nor ends then. One that stands is suppressed when this has lasted for the off-delay, so that
    a machine that cycles does not make it chatter.

    Args:
        spec: the hold times.
        state: before it.
        why: there is no score; None where that says nothing of the machine or the microphone (a gap, not enrolled).
        time: seconds of capture time.
    """
    decision = interrupt(state.decision)
    if not decision.active:
        return AlarmState(decision)
    if why is None:
        return replace(state, decision=decision, unscored=None)
    since = state.unscored[1] if state.unscored is not None and state.unscored[0] == why else time
    suppressed = why if time - since >= spec.off_delay_s else state.suppressed
    return AlarmState(decision, state.severity, suppressed, (why, since))


def cause_of(before: AlarmState, after: AlarmState) -> AlarmCause | None:
    """Return why the step from one state to the next is announced; None when it is not."""
    if before.active != after.active:
        return "sound"
    if before.suppressed != after.suppressed:
        return "suppression"
    return "severity" if before.severity != after.severity else None
