"""A covariance that can be inverted when there are fewer clips than bands."""

from __future__ import annotations

from typing import Final

import numpy as np

from asd_edge.scoring.backends.gaussians import Matrix

LEAST_VARIANCE: Final = 1e-2
"""dB², added to every direction: a band that never varied in a few clips must not decide everything."""


# Σ = (1 − ρ) S + ρ m I, m = tr(S) / p, ρ = min(1, (tr(S²) + tr²(S)) / ((n + 1) (tr(S²) − tr²(S) / p)))
# (Chen, Wiesel, Eldar and Hero, IEEE Trans. Signal Processing 58, 2010, eq 23 without its terms in 2/p: the oracle
# approximating shrinkage, for Gaussian rows). It holds down to two clips, where an enrollment begins and where Ledoit
# and Wolf's estimate of the noise is 0, so that nothing would be shrunk.
def shrunk_covariance(rows: Matrix) -> Matrix:
    """Return the shrunk covariance of rows in dB whose mean is zero, [n, p] -> [p, p], positive definite.

    No share of the sphere has to be chosen: it is what minimises the expected squared error.
    """
    n, p = rows.shape
    own = rows.T @ rows / n
    level = np.trace(own) / p
    length = float((own**2).sum())  # tr(S²)
    spread = length - p * level**2
    noise = (length + (p * level) ** 2) / (n + 1.0)
    share = min(1.0, noise / spread) if spread > 0.0 else 1.0
    return np.asarray((1.0 - share) * own + (share * level + LEAST_VARIANCE) * np.eye(p))
