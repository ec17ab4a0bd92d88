"""A covariance that can be inverted when there are fewer clips than bands."""

from __future__ import annotations

from typing import Final

import numpy as np

from asd_edge.scoring.backends.gaussians import PRIOR_CLIPS, Matrix

LEAST_VARIANCE: Final = 1e-2
"""dB². Normal sound varies by more; a band that never did in a few clips must not decide everything."""


# W = D Σ D, Σ the covariance of rows in units of their deviations D. Each variance is drawn towards their mean as if
# that were known from PRIOR_CLIPS clips: of two clips some bands always agree by chance.
def shrunk_covariance(rows: Matrix) -> Matrix:
    """Return the covariance of rows in dB whose mean is zero, [n, bands] -> [bands, bands], positive definite."""
    own = (rows**2).mean(axis=0)
    variance = (len(rows) * own + PRIOR_CLIPS * own.mean()) / (len(rows) + PRIOR_CLIPS)
    deviation = np.sqrt(variance + LEAST_VARIANCE)
    standard = oracle_approximating(rows / deviation)
    return np.asarray(deviation[:, None] * standard * deviation + LEAST_VARIANCE * np.eye(len(own)))


# Σ = (1 − ρ) S + ρ m I, m = tr(S) / p, ρ = min(1, (tr(S²) + tr²(S)) / ((n + 1) (tr(S²) − tr²(S) / p)))
# (Chen, Wiesel, Eldar and Hero, IEEE Trans. Signal Processing 58, 2010, eq 23 without its terms in 2/p: the oracle
# approximating shrinkage, for Gaussian rows). It holds down to two clips, where an enrollment begins and where Ledoit
# and Wolf's estimate of the noise is 0, so that nothing would be shrunk.
def oracle_approximating(rows: Matrix) -> Matrix:
    """Return the shrunk covariance of rows whose mean is zero, [n, p] -> [p, p]; no share has to be chosen."""
    n, p = rows.shape
    own = rows.T @ rows / n
    level = np.trace(own) / p
    length = float((own**2).sum())  # tr(S²)
    spread = length - p * level**2
    share = min(1.0, (length + (p * level) ** 2) / ((n + 1.0) * spread)) if spread > 0.0 else 1.0
    return np.asarray((1.0 - share) * own + share * level * np.eye(p))
