"""Alarms per week as a function of the threshold, and how sure it is: what a calibration keeps of its scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

_Z90 = 1.6449
"""A normal variable lies within this many deviations of its mean with probability 0.9."""


@dataclass(frozen=True, slots=True)
class AlarmRate:
    """Expected false alarms in a week of running, and the 90 % interval of that expectation."""

    low: float
    likely: float
    high: float


class RateModel(Protocol):
    """A fitted rate of alarms."""

    @property
    def most(self) -> float:
        """Alarms per week at a threshold that everything exceeds."""

    def per_week(self, threshold: float) -> float:
        """Return the expected alarms per week at a threshold."""

    def threshold_for(self, alarms_per_week: float) -> float:
        """Return the threshold at which so many alarms per week are expected."""

    def neighbours(self) -> Sequence[tuple[RateModel, RateModel]]:
        """Return the model with one parameter at either end of its 90 % interval, for independent parameters."""


# The delta method (Coles, "An Introduction to Statistical Modeling of Extreme Values", 2001, section 2.6.4) adds the
# variances that each parameter's error gives the log of the rate. Far out in a tail that is no longer linear in the
# parameters: we take the rate at the ends of each one's interval instead of a derivative, upwards and downwards apart.
def rate_at(model: RateModel, threshold: float) -> AlarmRate:
    """Return the expected alarms per week at a threshold, with their interval."""
    likely = model.per_week(threshold)
    down, up = _moves(model, lambda moved: _log(moved.per_week(threshold)))
    low, high = math.exp(_log(likely) - down), math.exp(min(_log(likely) + up, _log(model.most)))
    return AlarmRate(min(low, likely), likely, max(high, likely))


def threshold_between(model: RateModel, alarms_per_week: float) -> tuple[float, float]:
    """Return the 90 % interval of the threshold that keeps a budget."""
    likely = model.threshold_for(alarms_per_week)
    down, up = _moves(model, lambda moved: moved.threshold_for(alarms_per_week))
    return max(0.0, likely - down), likely + up


def _moves(model: RateModel, value: Callable[[RateModel], float]) -> tuple[float, float]:
    """Return how far down and up a value of the model may lie."""
    down = up = 0.0
    for pair in model.neighbours():
        moves = [value(neighbour) - value(model) for neighbour in pair]
        down, up = math.hypot(down, min(0.0, *moves)), math.hypot(up, max(0.0, *moves))
    return down, up


def _log(rate: float) -> float:
    return math.log(max(rate, 1e-300))


@dataclass(frozen=True, slots=True)
class GammaRate:
    """Sustained scores are gamma distributed and `most` of them in a week are independent.

    `mean_error`, `shape_error`: relative standard errors of the distribution's mean and shape.
    """

    most: float
    shape: float
    scale: float
    mean_error: float
    shape_error: float

    @property
    def mean(self) -> float:
        """Mean of the distribution."""
        return self.shape * self.scale

    @property
    def deviation(self) -> float:
        """Standard deviation of the distribution."""
        return math.sqrt(self.shape) * self.scale

    def per_week(self, threshold: float) -> float:
        """Return the expected alarms per week at a threshold."""
        from scipy.special import gammaincc

        return self.most * float(gammaincc(self.shape, max(threshold, 0.0) / self.scale))

    def threshold_for(self, alarms_per_week: float) -> float:
        """Return the threshold at which so many alarms per week are expected."""
        from scipy.special import gammainccinv

        return self.scale * float(gammainccinv(self.shape, min(1.0, alarms_per_week / self.most)))

    def neighbours(self) -> Sequence[tuple[GammaRate, GammaRate]]:
        """Return the model with its mean, then with its shape, at either end of the 90 % interval."""
        mean, shape = math.exp(_Z90 * self.mean_error), math.exp(_Z90 * self.shape_error)
        return (
            (replace(self, scale=self.scale / mean), replace(self, scale=self.scale * mean)),
            (
                replace(self, shape=self.shape * shape, scale=self.scale / shape),
                replace(self, shape=self.shape / shape, scale=self.scale * shape),
            ),
        )


# Peaks over a threshold (Davison & Smith 1990; Coles 2001, section 5.3): clusters above `level` come at the rate λ,
# their peaks exceed it by a generalised Pareto variable, so with z = (θ − level) / scale and ξ = shape
#     alarms per week at θ = λ (1 + ξ z)^(−1/ξ), λ exp(−z) for ξ = 0.
# For n clusters the estimates of (log scale, ξ) have the covariance (1 + ξ) / n · [[2, −1], [−1, 1 + ξ]], ξ > −½
# (Smith, "Estimating tails of probability distributions", Annals of Statistics 15, 1987), log λ the variance 1/n.
@dataclass(frozen=True, slots=True)
class ParetoRate:
    """The tail of cluster peaks above `level`.

    `at_level`: clusters per week above it. `clusters`: how many independent ones the fit rests on. `most`: as many
    alarms as a week has room for.
    """

    most: float
    level: float
    at_level: float
    shape: float
    scale: float
    clusters: float

    def per_week(self, threshold: float) -> float:
        """Return the expected alarms per week at a threshold."""
        z = (threshold - self.level) / self.scale
        reach = 1.0 + self.shape * z
        if reach <= 0.0:  # beyond the tail's end, or so far below the level that it says nothing
            return 0.0 if self.shape < 0.0 else self.most
        folds = z if abs(self.shape) < 1e-9 else math.log(reach) / self.shape
        return math.exp(min(math.log(self.at_level) - folds, math.log(self.most)))

    def threshold_for(self, alarms_per_week: float) -> float:
        """Return the threshold at which so many alarms per week are expected; 0 or more."""
        ratio = self.at_level / alarms_per_week
        if abs(self.shape) < 1e-9:
            return max(0.0, self.level + self.scale * math.log(ratio))
        return max(0.0, self.level + self.scale / self.shape * (math.pow(ratio, self.shape) - 1.0))

    def neighbours(self) -> Sequence[tuple[ParetoRate, ParetoRate]]:
        """Return the model with the rate, then with scale and shape along the axes of their covariance, moved."""
        xi, n = self.shape, self.clusters
        first = math.sqrt(2.0 * (1.0 + xi) / n), -math.sqrt((1.0 + xi) / (2.0 * n))  # Cholesky's columns
        second = 0.0, math.sqrt((1.0 + xi) * (0.5 + xi) / n)
        rate = math.exp(_Z90 / math.sqrt(n))
        return (
            (replace(self, at_level=self.at_level / rate), replace(self, at_level=self.at_level * rate)),
            *((self._moved(-_Z90, *axis), self._moved(_Z90, *axis)) for axis in (first, second)),
        )

    def _moved(self, deviations: float, log_scale: float, shape: float) -> ParetoRate:
        scale = self.scale * math.exp(deviations * log_scale)
        return replace(self, scale=scale, shape=self.shape + deviations * shape)
