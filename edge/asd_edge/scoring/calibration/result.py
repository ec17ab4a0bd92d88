"""The outcome of a calibration: a threshold, where it comes from, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from asd_edge.scoring.calibration.gamma import GammaFit
from asd_edge.scoring.calibration.rates import AlarmRate, GammaRate, ParetoRate, rate_at, threshold_between

Method = Literal["tail", "gamma", "percentile", "few_clips", "manual"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a threshold was found, from normal scores alone.

    `method`: "tail" (peaks of sustained scores over hours), "few_clips" (a gamma distribution that leans on a prior),
    "gamma" (the same from minutes of sound, or the factory's fitted quantile), "percentile" (the factory's empirical
    quantile), "manual" (set by hand). `count`: scores of windows behind it. `clips`: recordings, or clusters of peaks,
    that are independent of each other. `hours`: of sound. `mean`, `deviation`: of the window scores that new normal
    sound is expected to have, which drift is watched against; what an alarm is made of, levels held, is in `rate`.
    `rate`: alarms per week by threshold, for other budgets; None when scores have no spread.
    `alarms_per_week`: the budget it was made for; None for the factory's rule. `highest`: level that the clips held;
    they are normal, so no budget's threshold lies below it, whatever the rate says. `heard`: alarms that the decision
    would have raised in the very sound at this threshold, None for clips. `quantile`, `percentile_threshold`, `gamma`:
    of the factory's rule.
    """

    method: Method
    threshold: float
    count: int
    clips: int
    hours: float
    mean: float
    deviation: float
    rate: GammaRate | ParetoRate | None
    alarms_per_week: float | None = None
    highest: float = 0.0
    heard: int | None = None
    quantile: float | None = None
    percentile_threshold: float | None = None
    gamma: GammaFit | None = None

    @property
    def expected(self) -> AlarmRate | None:
        """Alarms per week at the threshold with their 90 % interval; None when nothing can be said."""
        return self.alarms_per_week_at(self.threshold)

    def alarms_per_week_at(self, threshold: float) -> AlarmRate | None:
        """Return the alarms per week expected at another threshold; None when nothing can be said."""
        return None if self.rate is None else rate_at(self.rate, threshold)

    @property
    def threshold_interval(self) -> tuple[float, float] | None:
        """90 % interval of the threshold that keeps the budget; None without a budget, or when nothing can be said."""
        if self.rate is None or self.alarms_per_week is None:
            return None
        return threshold_between(self.rate, self.alarms_per_week)

    @property
    def agrees(self) -> bool:
        """Whether the alarms `heard` in the very sound are as many as the fit says, but for its error and chance.

        A count of mean m is off by more than 2.6 √m once in a hundred times (Poisson); the fit by its interval.
        """
        if self.heard is None or self.expected is None:
            return True
        weeks = self.hours / 168.0
        low, high = self.expected.low * weeks, self.expected.high * weeks
        return low - 2.6 * math.sqrt(low) - 1.0 <= self.heard <= high + 2.6 * math.sqrt(high) + 1.0

    def threshold_for(self, alarms_per_week: float) -> float:
        """Return the threshold for another budget.

        Raises:
            ValueError: a budget that is not positive, or scores without a spread, which say nothing about any budget.
        """
        if not alarms_per_week > 0.0:
            raise ValueError(f"a budget of {alarms_per_week} alarms a week: no threshold can promise none")
        if self.rate is None:
            raise ValueError("normal scores without a spread: they say nothing about alarms a week")
        return max(self.highest, self.rate.threshold_for(alarms_per_week))

    def for_budget(self, alarms_per_week: float) -> Calibration:
        """Return the calibration with the threshold of another budget.

        Its method is that of the rate, whatever the threshold came from before.

        Raises:
            ValueError: as `threshold_for`.
        """
        method: Method = "gamma" if self.quantile is not None or self.method == "gamma" else "few_clips"
        return replace(
            self,
            method="tail" if isinstance(self.rate, ParetoRate) else method,
            threshold=self.threshold_for(alarms_per_week),
            alarms_per_week=alarms_per_week,
            heard=None,
        )

    def at(self, threshold: float) -> Calibration:
        """Return the calibration with its threshold found."""
        return replace(self, threshold=threshold)

    def set_by_hand(self, threshold: float) -> Calibration:
        """Return the calibration with a threshold that somebody chose."""
        return replace(self, method="manual", threshold=threshold, alarms_per_week=None, heard=None)
