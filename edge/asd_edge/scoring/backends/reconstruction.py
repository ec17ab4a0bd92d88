"""How badly an autoencoder rebuilds sound: the mean square error, or a Mahalanobis distance of the residuals."""

from __future__ import annotations

import math
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
    check_shapes,
    count_of,
    dims_of,
)
from asd_edge.scoring.backends.gaussians import Matrix, check_whitening, covariance_of, shrunk, whitening
from asd_edge.scoring.backends.given import mean_of_numbers
from asd_edge.strict import RefusalError


# The selective Mahalanobis score of the DCASE baselines since 2023. r_i are the residuals x − x̂ of a segment, as rows
# of one frame; Σ is their covariance over a condition's clips, centred over all of these (the organisers' code centres
# each batch; [ours], a batch is an accident). Two readings, of residuals as they are, not centred:
#   mahalanobis          mean_i r_iᵀ Σ⁻¹ r_i = tr(Σ⁻¹ M), M = mean_i r_i r_iᵀ: the definition meant
#   mahalanobis_of_mean  mᵀ Σ⁻¹ m, m = mean_i r_i: the organisers' code, which averages r_iᵀ Σ⁻¹ r_j over all pairs
# "Selective" is the smaller of source and target: a window's nearest condition.
class Reconstruction(Backend):
    """What the embedding is depends on the `reading`.

    `mse`: one number, the segment's mean square error. Nothing is learned of a condition, and no condition changes it.
    The others: the mean residual row m, then the upper triangle of M row by row (`numpy.triu_indices`). A covariance of
    few clips is drawn towards the source's (`gaussians.shrunk`).

    A window's score is the mean over its segments. Of m that is the mean of squares, not the square of the mean: the
    organisers' score is met where a segment is as long as the clip.
    """

    kind: Literal["reconstruction"] = "reconstruction"
    reading: Literal["mse", "mahalanobis", "mahalanobis_of_mean"]

    @property
    def imprints(self) -> bool:
        """An error is an error under every condition."""
        return self.reading != "mse"

    def check_dims(self, dims: int) -> None:
        """Check that there is one number, or a mean and a triangle."""
        if self.reading != "mse":
            bands_of(dims)
        elif dims != 1:
            raise RefusalError(f"embeddings of {dims} numbers", "one, the mean square error")

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return `whitening` [bands, bands] of the residuals' covariance; of `mse` no arrays."""
        dims = dims_of(self, clips)
        if self.reading == "mse":
            return {}
        segments = np.concatenate([clip for members in clips.values() for clip in members])
        mean, moments = _split(segments.mean(axis=0, dtype=np.float64), bands_of(dims))
        prior = None if source is None else covariance_of(source["whitening"])
        mixed = shrunk(moments - np.outer(mean, mean), clips=count_of(clips), prior=prior)
        return {"whitening": whitening(mixed).astype(np.float32)}

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        self.check_dims(dims)
        if self.reading == "mse":
            check_shapes(fitted, {})
        else:
            check_shapes(fitted, {"whitening": (bands_of(dims), bands_of(dims))})
            check_whitening("whitening", fitted["whitening"])

    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        if self.reading == "mse":
            return mean_of_numbers(conditions)
        factors = np.stack([fitted["whitening"].astype(np.float64) for fitted in conditions])
        if self.reading == "mahalanobis":
            return _traces(factors)
        bands = factors.shape[-1]

        def distances(embeddings: Embeddings) -> NDArray[np.float32]:
            white = embeddings[:, :bands].astype(np.float64) @ factors  # [conditions, segments, bands]
            return np.asarray(np.square(white).sum(axis=-1).T, dtype=np.float32)

        return distances


def bands_of(dims: int) -> int:
    """Return the length of a residual row: dims = bands + bands (bands + 1) / 2.

    Raises:
        RefusalError: it follows for no number of bands.
    """
    bands = (math.isqrt(9 + 8 * dims) - 3) // 2
    if bands < 1 or bands * (bands + 3) // 2 != dims:
        raise RefusalError(f"embeddings of {dims} numbers", "bands + bands (bands + 1) / 2: a mean and a triangle")
    return bands


# tr(Σ⁻¹ M) = Σ_i P_ii M_ii + 2 Σ_{i<j} P_ij M_ij with P = Σ⁻¹ = U Uᵀ: one product with the triangle of M, in double
# precision, as the terms of correlated bands nearly cancel.
def _traces(factors: Matrix) -> Distances:
    bands = factors.shape[-1]
    rows, columns = np.triu_indices(bands)
    precisions = factors @ factors.transpose(0, 2, 1)
    weights = np.where(rows == columns, 1.0, 2.0) * precisions[:, rows, columns]  # [conditions, triangle]

    def distances(embeddings: Embeddings) -> NDArray[np.float32]:
        traces = embeddings[:, bands:].astype(np.float64) @ weights.T
        return np.asarray(np.maximum(traces, 0.0), dtype=np.float32)

    return distances


def _split(embedding: Matrix, bands: int) -> tuple[Matrix, Matrix]:
    """Return the mean row [bands] and the second moments [bands, bands] of one embedding."""
    moments = np.zeros((bands, bands))
    moments[np.triu_indices(bands)] = embedding[bands:]
    return embedding[:bands], moments + np.triu(moments, 1).T
