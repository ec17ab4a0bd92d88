"""Gamma distribution of normal scores. Imports scipy when it computes: never in the running daemon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class GammaFit:
    """Gamma distribution of normal scores, location 0."""

    shape: float
    scale: float

    @property
    def mean(self) -> float:
        """Mean, shape · scale."""
        return self.shape * self.scale

    @property
    def deviation(self) -> float:
        """Standard deviation, √shape · scale."""
        return float(np.sqrt(self.shape)) * self.scale

    def quantile(self, probability: float) -> float:
        """Return the score that a normal one exceeds with probability 1 − `probability`."""
        from scipy.special import gammaincinv

        return float(self.scale * gammaincinv(self.shape, probability))


# Gamma density x^(k−1) e^(−x/θ) / (Γ(k) θ^k) fitted to normal scores, threshold at its quantile: the DCASE Task 2
# baselines' rule (Kawaguchi et al., DCASE 2021, section 3). For a known shape k the maximum-likelihood scale is
# θ = mean / k, which is all that a handful of clips can tell. Otherwise the likelihood is largest where
# log k − ψ(k) = s, s = log(mean x) − mean(log x), found by Newton's steps in 1/k from the start that is
# (3 − s + √((s − 3)² + 24 s)) / (12 s) (Minka, "Estimating a Gamma distribution", 2002, equations 9 and 10).
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
    from scipy.special import digamma, polygamma

    s = float(np.log(mean) - np.log(positive).mean())
    shape = (3.0 - s + np.sqrt((s - 3.0) ** 2 + 24.0 * s)) / (12.0 * s)
    for _ in range(_NEWTON_STEPS):
        slope = shape**2 * (1.0 / shape - polygamma(1, shape))
        shape = 1.0 / (1.0 / shape + (np.log(shape) - digamma(shape) - s) / slope)
    return GammaFit(float(shape), mean / float(shape))


_NEWTON_STEPS = 6  # four give full precision (Minka)
