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
    that are independent of each other. `hours`: of sound. `mean`, `deviation`: of the scores that new normal sound is
    expected to have. `rate`: alarms per week by threshold, for other budgets; None when scores have no spread.
    `alarms_per_week`: the budget it was made for; None for the factory's rule. `heard`: alarms that the decision would
    have raised in the very sound, None for clips. `quantile`, `percentile_threshold`, `gamma`: of the factory's rule.
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
        """Return the threshold for another budget; this one's when nothing is known of others.

        Raises:
            ValueError: a budget that is not positive.
        """
        if not alarms_per_week > 0.0:
            raise ValueError(f"a budget of {alarms_per_week} alarms a week: no threshold can promise none")
        return self.threshold if self.rate is None else self.rate.threshold_for(alarms_per_week)

    def for_budget(self, alarms_per_week: float) -> Calibration:
        """Return the calibration with the threshold of another budget.

        Raises:
            ValueError: a budget that is not positive.
        """
        return replace(self, threshold=self.threshold_for(alarms_per_week), alarms_per_week=alarms_per_week)

    def at(self, threshold: float) -> Calibration:
        """Return the calibration with its threshold found."""
        return replace(self, threshold=threshold)

    def set_by_hand(self, threshold: float) -> Calibration:
        """Return the calibration with a threshold that somebody chose."""
        return replace(self, method="manual", threshold=threshold, alarms_per_week=None)
