"""From scores to an alarm: deadband and hold times, as a pure step."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class DecisionSpec:
    """When an alarm begins and ends.

    Args:
        on_delay_s: a score must stay above the threshold this long before the alarm begins.
        off_delay_s: a score must stay below the lower limit this long before the alarm ends.
        deadband: the lower limit is threshold · (1 − deadband).
        severity: of an alarm whose score is the threshold itself, 1 to 1000 as OPC UA counts.
    """

    on_delay_s: float = 12.0  # longer than a window, so that one bang, which stays in it, raises no alarm
    off_delay_s: float = 12.0
    deadband: float = 0.1
    severity: int = 300

    def at_least(self, delay_s: float) -> DecisionSpec:
        """Return the same with delays of at least so much: a fault of the microphone must be known before an alarm
        begins or ends by it."""
        return replace(self, on_delay_s=max(self.on_delay_s, delay_s), off_delay_s=max(self.off_delay_s, delay_s))


@dataclass(frozen=True, slots=True)
class DecisionState:
    """`active`: an alarm stands. `since`: when it began, or when the score first went over. `calm_since`: when it
    first went under the lower limit again. Seconds of capture time.
    """

    active: bool = False
    since: float | None = None
    calm_since: float | None = None


def decide(spec: DecisionSpec, state: DecisionState, *, score: float, threshold: float, time: float) -> DecisionState:
    """Return the state after one score; compare `active` before and after to see a change."""
    if not state.active:
        if score <= threshold:
            return DecisionState()
        since = time if state.since is None else state.since
        return DecisionState(active=time - since >= spec.on_delay_s, since=since)
    if score > threshold * (1.0 - spec.deadband):
        return replace(state, calm_since=None)
    calm_since = time if state.calm_since is None else state.calm_since
    if time - calm_since >= spec.off_delay_s:
        return DecisionState()
    return replace(state, calm_since=calm_since)


def interrupt(state: DecisionState) -> DecisionState:
    """Return the state after a window without a score (idle, not enrolled) or a gap in the sound.

    A machine that stands still neither confirms nor ends an alarm, and a hold time begins anew: what was heard before
    the pause says nothing about now.
    """
    return replace(state, calm_since=None) if state.active else DecisionState()
