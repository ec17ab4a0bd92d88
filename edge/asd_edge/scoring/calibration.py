"""A threshold from the scores of normal sound alone. Imports scipy when it fits: never in the running daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FEW_CLIPS = 20
"""From fewer clips than this the shape of a distribution cannot be told."""

FEW_SHAPE = 4.0
"""Gamma shape assumed for a few clips: the deviation of scores is half their mean, wider than most machines'."""


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


def calibrate(scores: Sequence[float], *, clips: int, quantile: float) -> Calibration:
    """Find the threshold from the scores of normal windows.

    The larger of the empirical and the fitted quantile is taken: the fit reaches beyond the largest score seen, the
    percentile holds where the scores are not gamma distributed.

    Args:
        scores: of windows that made no centre; windows of one clip are not independent.
        clips: how many clips they come from. From fewer than FEW_CLIPS only the scale is taken, the shape is
            FEW_SHAPE: the windows of three clips say something about the mean and almost nothing about the spread,
            and a fitted shape would swing between deaf and nervous.
        quantile: share of normal windows at or below the threshold.

    Raises:
        ValueError: no scores, or scores that are not finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"calibration needs finite scores, got {values.size} of them")
    gamma = fit_gamma(values, known_shape=FEW_SHAPE if clips < FEW_CLIPS else None)
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
