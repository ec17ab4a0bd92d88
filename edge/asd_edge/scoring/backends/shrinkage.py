"""A covariance that can be inverted when there are fewer clips than bands."""

from __future__ import annotations

from typing import Final

import numpy as np

from asd_edge.scoring.backends.gaussians import Matrix

LEAST_SHARE: Final = 1e-6
"""Of the identity in every covariance: sound that never varies has none of its own."""


# Σ = (1 − ρ) S + ρ m I, m = tr(S) / p, ρ = min(b², d²) / d²,
# d² = ‖S − m I‖² / p, b² = (1 / n²) Σ_k ‖x_k x_kᵀ − S‖² / p   (Ledoit and Wolf, J. Multivariate Anal. 88, 2004, section
# 3.3). Σ_k ‖x_k x_kᵀ − S‖² = Σ_k ‖x_k‖⁴ − n ‖S‖², for S is the mean of x_k x_kᵀ.
def ledoit_wolf(rows: Matrix) -> Matrix:
    """Return the shrunk covariance of rows whose mean is zero, [n, p] -> [p, p], positive definite.

    No share of the sphere has to be chosen: it is what minimises the expected squared error.
    """
    n, p = rows.shape
    own = rows.T @ rows / n
    level = np.trace(own) / p
    length = float((own**2).sum())
    spread = length / p - level**2  # d²
    noise = (float(((rows**2).sum(axis=1) ** 2).sum()) / n - length) / (n * p)  # b²
    share = min(max(noise, 0.0), spread) / spread if spread > 0.0 else 1.0
    return np.asarray((1.0 - share) * own + (share * level + LEAST_SHARE) * np.eye(p))
