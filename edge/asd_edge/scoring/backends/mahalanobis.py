"""Mahalanobis distance to the mean of normal sound, each condition with its own covariance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.backends.backend import (
    Backend,
    Clips,
    Distances,
    Embeddings,
    Fitted,
    all_segments,
    check_shapes,
    count_of,
)
from asd_edge.scoring.backends.gaussians import check_whitening, covariance, covariance_of, shrunk, whitening
from asd_edge.scoring.distances import normalised


# d²(x) = (x − μ)ᵀ Σ⁻¹ (x − μ) for source and target apart, the smaller wins: the domain-wise distance of the DCASE
# baselines since 2023 (selective Mahalanobis), there on reconstruction residuals, here on embeddings. A window's
# nearest condition is the smaller one.
class Mahalanobis(Backend):
    """One mean and covariance of segment embeddings at unit length a condition.

    A covariance of few clips is drawn towards the source's (`gaussians.shrunk`): three clips move it by a sixth.
    """

    kind: Literal["mahalanobis"] = "mahalanobis"

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return `mean` [dims] and `whitening` [dims, dims] of the shrunk covariance."""
        rows = all_segments(clips)
        prior = None if source is None else covariance_of(source["whitening"])
        mixed = shrunk(covariance(rows), clips=count_of(clips), prior=prior)
        return {"mean": rows.mean(axis=0).astype(np.float32), "whitening": whitening(mixed).astype(np.float32)}

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        check_shapes(fitted, {"mean": (dims,), "whitening": (dims, dims)})
        check_whitening("whitening", fitted["whitening"])

    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        factors = np.stack([fitted["whitening"] for fitted in conditions])  # [conditions, dims, dims]
        means = np.stack([fitted["mean"] for fitted in conditions])[:, None]

        def distances(embeddings: Embeddings) -> NDArray[np.float32]:
            white = (normalised(embeddings) - means) @ factors  # [conditions, segments, dims]
            return np.asarray(np.linalg.norm(white, axis=-1).T, dtype=np.float32)

        return distances
