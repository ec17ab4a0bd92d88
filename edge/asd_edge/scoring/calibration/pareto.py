"""Generalised Pareto distribution: how far peaks reach beyond a high level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ParetoFit:
    """P(excess > x) = (1 + shape · x / scale)^(−1 / shape); exp(−x / scale) for the shape 0."""

    shape: float
    scale: float


# Zhang & Stephens, "A new and efficient estimation method for the generalized Pareto distribution", Technometrics 51,
# 2009: with k = −shape and b = k / scale, the likelihood depends on b alone once k(b) = −mean log(1 − b x) is put in:
# l(b) = n (log(b / k) + k − 1), equation 3. Their estimate is the mean of b over a grid (equation 7) weighted by
# that likelihood: b_j = 1 / x_max + (1 − √(m / (j − ½))) / (3 x_quartile), j = 1 … m, m = 20 + ⌊√n⌋.
# The shape is then shrunk towards 0 as if PRIOR excesses had shown an exponential tail (the form of Vehtari et al.,
# "Pareto smoothed importance sampling", appendix C, whose prior mean is ½): tens of peaks do not tell it.
PRIOR = 10


def fit_pareto(excesses: NDArray[np.float64]) -> ParetoFit:
    """Fit a generalised Pareto distribution to positive excesses, float64 [n >= 2], not all equal."""
    x = np.sort(excesses)
    n = len(x)
    m = 20 + int(np.sqrt(n))
    j = np.arange(1, m + 1)
    b = 1.0 / x[-1] + (1.0 - np.sqrt(m / (j - 0.5))) / (3.0 * x[int(n / 4.0 + 0.5) - 1])
    k = -np.log1p(-b[:, None] * x).mean(axis=1)  # [m]
    likelihood = n * (np.log(b / k) + k - 1.0)
    weights = np.exp(likelihood - likelihood.max())
    b_hat = float(b @ weights / weights.sum())
    shape = float(np.log1p(-b_hat * x).mean())
    scale = -shape / b_hat
    return ParetoFit(max(n * shape / (n + PRIOR), _LOWEST), scale)


_LOWEST = -0.45  # from −½ on the estimates have no normal errors (Smith 1987), and no sound's tail ends so hard
