"""A threshold from the scores of normal sound alone. Imports scipy when it fits: never in the running daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FEW_SCORES = 20
"""Below this many clips the shape of a distribution cannot be told from its scores."""

CAUTIOUS_SHAPE = 4.0
"""Gamma shape assumed when no better one is known: the deviation of scores is half their mean."""


@dataclass(frozen=True, slots=True)
class GammaFit:
    """Gamma distribution of normal scores, location 0."""

    shape: float
    scale: float

    def quantile(self, probability: float) -> float:
        """Return the score that a normal window exceeds with probability 1 − `probability`."""
        from scipy.special import gammaincinv

        return float(self.scale * gammaincinv(self.shape, probability))


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a threshold was found.

    `count`: number of scores. `quantile`: share of normal windows at or below the threshold. `percentile_threshold`:
    the empirical quantile. `gamma`: the fit, None when scores have no spread. `method`: which of the two gave
    `threshold`.
    """

    method: Literal["gamma", "percentile"]
    quantile: float
    count: int
    percentile_threshold: float
    gamma: GammaFit | None
    threshold: float


# Gamma density x^(k−1) e^(−x/θ) / (Γ(k) θ^k) fitted to normal scores, threshold at its quantile: the DCASE Task 2
# baselines' rule (Kawaguchi et al., DCASE 2021, section 3). For a known shape k the maximum-likelihood scale is
# θ = mean / k, which is all that a handful of clips can tell.
def fit_gamma(scores: NDArray[np.float64], *, known_shape: float | None = None) -> GammaFit | None:
    """Fit a gamma distribution at location 0; None when the scores have no spread or are not positive.

    Args:
        scores: normal scores, float64 [n >= 1].
        known_shape: shape to assume instead of fitting it.
    """
    positive = scores[scores > 0.0]
    if len(positive) == 0:
        return None
    mean = float(positive.mean())
    if known_shape is not None:
        return GammaFit(known_shape, mean / known_shape)
    if len(positive) < 2 or float(np.ptp(positive)) <= 1e-9 * mean:
        return None
    from scipy.stats import gamma

    shape, _, scale = gamma.fit(positive, floc=0)
    return GammaFit(float(shape), float(scale))


def calibrate(scores: Sequence[float], *, quantile: float) -> Calibration:
    """Find the threshold from the scores of many independent normal clips.

    The larger of the empirical and the fitted quantile is taken: the fit reaches beyond the largest score seen, the
    percentile holds where the scores are not gamma distributed.

    Raises:
        ValueError: no scores, or scores that are not finite.
    """
    values = _checked(scores)
    gamma = fit_gamma(values)
    return _calibration(values, quantile, gamma)


def calibrate_few(scores: Sequence[float], *, clips: int, quantile: float, shape: float | None) -> Calibration:
    """Find the threshold of a condition enrolled from a few clips.

    Args:
        scores: leave-one-clip-out scores of the enrolled windows; the windows of one clip are not independent.
        clips: how many clips they come from.
        quantile: as in `calibrate`.
        shape: gamma shape of the machine's factory scores, None when there are none.

    With fewer than FEW_SCORES clips the widest of the fitted, the factory's and (without one) the cautious shape is
    assumed, and only the scale is taken from the scores.

    Raises:
        ValueError: no scores, or scores that are not finite.
    """
    values = _checked(scores)
    fitted = fit_gamma(values)
    if clips >= FEW_SCORES:
        return _calibration(values, quantile, fitted)
    prior = CAUTIOUS_SHAPE if shape is None else shape
    widest = prior if fitted is None else min(prior, fitted.shape)
    return _calibration(values, quantile, fit_gamma(values, known_shape=widest))


def _checked(scores: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"calibration needs finite scores, got {values.size} of them")
    return values


def _calibration(values: NDArray[np.float64], quantile: float, gamma: GammaFit | None) -> Calibration:
    percentile = float(np.quantile(values, quantile))
    fitted = 0.0 if gamma is None else gamma.quantile(quantile)
    return Calibration(
        method="gamma" if fitted > percentile else "percentile",
        quantile=quantile,
        count=len(values),
        percentile_threshold=percentile,
        gamma=gamma,
        threshold=max(percentile, fitted),
    )
