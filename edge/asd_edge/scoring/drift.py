"""Whether normal sound has moved away from its centre, as a pure step. It proposes; it never adapts anything."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from asd_edge.scoring.calibration.rates import GammaRate
from asd_edge.scoring.calibration.result import Calibration

MEMORY_H = 8.0
"""A shift: what lasts an hour is weather or a batch of material, what lasts for shifts is the machine."""

LIMIT, RELEASE = 0.5, 0.25
"""Deviations of normal scores by which their average must have risen, and to which it must fall back."""

_ERRORS = 2.0
"""A rise that the calibration's own error could be is no drift."""


@dataclass(frozen=True, slots=True)
class DriftSpec:
    """When to propose another enrollment of a condition.

    Args:
        start: mean of normal scores, by the calibration.
        upper: average score above which another enrollment is proposed.
        lower: average score below which the proposal is taken back.
        memory_s: time constant of the average, seconds of scored sound.
    """

    start: float
    upper: float
    lower: float
    memory_s: float = MEMORY_H * 3600.0

    @classmethod
    def of(cls, calibration: Calibration) -> DriftSpec:
        """Return the limits for a condition; the less its calibration knows of the mean, the wider they are."""
        rate = calibration.rate
        if isinstance(rate, GammaRate):
            error = rate.mean_error * calibration.mean
        else:  # clusters of peaks are independent of each other, whatever lies between them
            error = calibration.deviation / math.sqrt(max(calibration.clips, 1))
        unsure = calibration.mean + _ERRORS * error
        return cls(
            start=calibration.mean,
            upper=unsure + LIMIT * calibration.deviation,
            lower=unsure + RELEASE * calibration.deviation,
        )


@dataclass(frozen=True, slots=True)
class DriftState:
    """`average`: of normal scores, None before the first. `proposed`: another enrollment is proposed."""

    average: float | None = None
    proposed: bool = False


# Exponentially weighted moving average z += λ (x − z), started at the target (Roberts, "Control Chart Tests Based on
# Geometric Moving Averages", Technometrics 1, 1959), λ = 1 − exp(−step / memory). Of scores with deviation σ that
# forget exponentially in T seconds it has the deviation σ √(T / (T + memory)): 0.05 σ for T = 60 s and eight hours,
# so that chance alone does not reach the limit. A lasting rise by d is proposed after memory · ln(d / (d − limit)).
def watch(spec: DriftSpec, state: DriftState, *, score: float | None, threshold: float, seconds: float) -> DriftState:
    """Return the state after one score of this condition; compare `proposed` before and after to see a change.

    A score above the threshold is left out: it is, or may become, an alarm, and says nothing about normal sound. So is
    a window without a score: an idle machine does not drift.

    Args:
        spec: the limits.
        state: before.
        score: of the window; None for a window without one.
        threshold: of the condition.
        seconds: of sound since the window before.
    """
    if score is None or score > threshold:
        return state
    average = spec.start if state.average is None else state.average
    average += (1.0 - math.exp(-seconds / spec.memory_s)) * (score - average)
    if state.proposed:
        return replace(state, average=average, proposed=average >= spec.lower)
    return replace(state, average=average, proposed=average > spec.upper)
