"""Alarms per week as a function of the threshold, and how sure it is: what a calibration keeps of its scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

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

    def log_error(self, threshold: float) -> float:
        """Return the standard error of the logarithm of that."""

    def threshold_for(self, alarms_per_week: float) -> float:
        """Return the threshold at which so many alarms per week are expected."""


# A rate is positive and its errors are factors: the interval is rate · exp(±1.645 · error of log rate), the error by
# the delta method (Coles 2001, section 2.6.4).
def rate_at(model: RateModel, threshold: float) -> AlarmRate:
    """Return the expected alarms per week at a threshold, with their interval."""
    likely = model.per_week(threshold)
    factor = math.exp(min(_Z90 * model.log_error(threshold), 700.0))
    return AlarmRate(likely / factor, likely, max(likely, min(likely * factor, model.most)))


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
        return self.most * math.exp(self._log_share(threshold, 0.0, 0.0))

    def log_error(self, threshold: float) -> float:
        """Return the standard error of the logarithm of that, from those of mean and shape."""
        h = 1e-3
        by_mean = (self._log_share(threshold, h, 0.0) - self._log_share(threshold, -h, 0.0)) / (2.0 * h)
        by_shape = (self._log_share(threshold, 0.0, h) - self._log_share(threshold, 0.0, -h)) / (2.0 * h)
        return math.hypot(by_mean * self.mean_error, by_shape * self.shape_error)

    def threshold_for(self, alarms_per_week: float) -> float:
        """Return the threshold at which so many alarms per week are expected."""
        from scipy.special import gammainccinv

        return self.scale * float(gammainccinv(self.shape, min(1.0, alarms_per_week / self.most)))

    def _log_share(self, threshold: float, log_mean: float, log_shape: float) -> float:
        """Return the log of the share above a threshold, with mean and shape larger by these factors (in logs)."""
        from scipy.special import gammaincc

        shape = self.shape * math.exp(log_shape)
        scale = self.scale * math.exp(log_mean - log_shape)
        return float(np.log(np.maximum(gammaincc(shape, max(threshold, 0.0) / scale), np.finfo(float).tiny)))


# Peaks over a threshold (Davison & Smith 1990; Coles 2001, section 5.3): clusters above `level` come at the rate λ,
# their peaks exceed it by a generalised Pareto variable, so with z = (θ − level) / scale and ξ = shape
#     alarms per week at θ = λ (1 + ξ z)^(−1/ξ), λ exp(−z) for ξ = 0.
# For n clusters the estimates of (scale, ξ) have the covariance (1 + ξ) / n · [[2 scale², −scale], [−scale, 1 + ξ]]
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
        if abs(self.shape) < 1e-9:
            rate = self.at_level * math.exp(-z)
        else:
            reach = 1.0 + self.shape * z
            rate = self.at_level * math.pow(reach, -1.0 / self.shape) if reach > 0.0 else 0.0
        return min(rate, self.most)

    def log_error(self, threshold: float) -> float:
        """Return the standard error of the logarithm of that: infinite where the tail is said to have ended."""
        xi, z = self.shape, (threshold - self.level) / self.scale
        reach = 1.0 + xi * z
        if reach <= 0.0:
            return math.inf
        by_scale = z / reach  # d log rate / d log scale
        by_shape = z * z / 2.0 if abs(xi) < 1e-4 else math.log(reach) / xi**2 - z / (xi * reach)
        tail = 2.0 * by_scale**2 - 2.0 * by_scale * by_shape + (1.0 + xi) * by_shape**2
        return math.sqrt((1.0 + (1.0 + xi) * tail) / self.clusters)

    def threshold_for(self, alarms_per_week: float) -> float:
        """Return the threshold at which so many alarms per week are expected; 0 or more."""
        ratio = self.at_level / alarms_per_week
        if abs(self.shape) < 1e-9:
            return max(0.0, self.level + self.scale * math.log(ratio))
        return max(0.0, self.level + self.scale / self.shape * (math.pow(ratio, self.shape) - 1.0))
