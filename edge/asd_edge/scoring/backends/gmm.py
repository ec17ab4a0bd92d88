"""Negative log-likelihood under a mixture of Gaussians with full covariances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

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
from asd_edge.scoring.backends.clusters import k_means
from asd_edge.scoring.backends.gaussians import Matrix, check_whitening, covariance_of, shrunk, whitening
from asd_edge.scoring.distances import normalised
from asd_edge.strict import RefusalError

DIAGONAL = 1e-3
"""Added to every variance (Wilkinghoff, DCASE 2021 and ICASSP 2023)."""

_ITERATIONS = 100
_ENOUGH = 1e-3  # gain of the mean log-likelihood below which EM has converged, as in scikit-learn


class GMM(Backend):
    """Mixtures of segment embeddings at unit length; full covariances with 1e-3 on the diagonal.

    `components`: of the source; no more than there are clips.

    A condition that comes later is one Gaussian: its own mean, and its own covariance drawn towards the one that the
    source's components have on average (`gaussians.shrunk`). A few clips tell where the new sound is; how normal sound
    varies around such a place is told by the source, but not by it alone: with the source's covariance as it stands,
    target normals were found no better than by chance. A mixture of a few clips would have a component for each clip.
    """

    kind: Literal["gmm"] = "gmm"
    components: Annotated[int, Field(ge=1, le=256)]

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return `log_weights` [components], `means` [components, dims], `whitenings` [components, dims, dims]."""
        rows = all_segments(clips)
        if source is not None:
            mean = rows.mean(axis=0)
            own = _weighted_covariance(rows - mean, np.full(len(rows), 1.0 / len(rows)))
            mixed = shrunk(own, clips=count_of(clips), prior=_within(source))
            return _stored(np.ones(1), mean[None], whitening(mixed)[None])
        return _stored(*_fitted(rows, _first_guess(rows, min(self.components, count_of(clips)))))

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        check_shapes(fitted, {"log_weights": (None,), "means": (None, dims), "whitenings": (None, dims, dims)})
        counts = {name: len(array) for name, array in fitted.items()}
        if len(set(counts.values())) > 1:
            raise RefusalError(f"arrays for different numbers of components: {counts}", "one number for all three")
        check_whitening("whitenings", fitted["whitenings"])
        total = float(np.exp(fitted["log_weights"].astype(np.float64)).sum())
        if abs(total - 1.0) > 1e-4:  # float32 logarithms
            raise RefusalError(f"weights that sum to {total:.4g}", "weights that sum to 1")

    # distance = b − log p(x), log p(x) = log Σ_k w_k N(x; μ_k, Σ_k). b = log Σ_k w_k N(μ_k; μ_k, Σ_k) is at least the
    # largest log p: a constant of the condition, so that the order of its scores stays, and distances are >= 0, which
    # hysteresis and the gamma fit need. It also lets conditions compete by how unusual a sound is under each, not by
    # density, which a condition of more varied sound has less of everywhere. (2π)^(−dims/2) cancels.
    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        starts = np.cumsum([0, *(len(fitted["means"]) for fitted in conditions[:-1])])
        means = np.concatenate([fitted["means"] for fitted in conditions])
        factors = np.concatenate([fitted["whitenings"] for fitted in conditions])
        peaks = _peaks(np.concatenate([fitted["log_weights"] for fitted in conditions]), factors)
        best = np.logaddexp.reduceat(peaks, starts)

        def distances(embeddings: Embeddings) -> NDArray[np.float32]:
            logs = _logs(normalised(embeddings), peaks, means, factors)
            with np.errstate(invalid="ignore"):  # NaN in, NaN out
                likelihood = np.logaddexp.reduceat(logs, starts, axis=1)  # [segments, conditions]
            return np.asarray(np.maximum(best - likelihood, 0.0), dtype=np.float32)

        return distances


def _peaks(log_weights: NDArray[np.floating], factors: NDArray[np.floating]) -> Matrix:
    """Return log w_k N(μ_k; μ_k, Σ_k) + dims/2 · log 2π of each component."""
    diagonals = np.diagonal(factors, axis1=1, axis2=2).astype(np.float64)
    return np.asarray(log_weights + np.log(diagonals).sum(axis=1))


def _logs(
    rows: NDArray[np.floating], peaks: Matrix, means: NDArray[np.floating], factors: NDArray[np.floating]
) -> Matrix:
    """Return log w_k N(x; μ_k, Σ_k) + dims/2 · log 2π, [n, components]."""
    white = (rows - means[:, None]) @ factors  # [components, n, dims]
    return np.asarray(peaks - 0.5 * np.einsum("knd,knd->nk", white, white, dtype=np.float64))


def _within(source: Fitted) -> Matrix:
    """Return the covariance of the source around the component that a segment belongs to."""
    weights = np.exp(source["log_weights"].astype(np.float64))
    parts = [weight * covariance_of(factor) for weight, factor in zip(weights, source["whitenings"], strict=True)]
    return np.asarray(np.sum(parts, axis=0))


def _stored(weights: Matrix, means: Matrix, factors: Matrix) -> Fitted:
    arrays = {"log_weights": np.log(weights), "means": means, "whitenings": factors}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _first_guess(rows: Matrix, components: int) -> Matrix:
    """Return which cluster of k-means each row is in, as responsibilities [n, components]."""
    _, labels = k_means(rows, components)
    return np.asarray(labels[:, None] == np.unique(labels), dtype=np.float64)  # a cluster may have stayed empty


# Expectation-maximisation: responsibilities r_nk = w_k N(x_n; μ_k, Σ_k) / Σ_j ..., then weights, means and covariances
# weighted by them (Dempster, Laird, Rubin 1977).
def _fitted(rows: Matrix, responsibilities: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Return weights, means and whitenings that EM reaches from these responsibilities."""
    before = -np.inf
    for _ in range(_ITERATIONS):
        counts = responsibilities.sum(axis=0)
        means = responsibilities.T @ rows / counts[:, None]
        factors = np.stack(
            [
                whitening(_weighted_covariance(rows - mean, weights / count))
                for mean, weights, count in zip(means, responsibilities.T, counts, strict=True)
            ]
        )
        weights = counts / len(rows)
        logs = _logs(rows, _peaks(np.log(weights), factors), means, factors)
        likelihood = np.logaddexp.reduce(logs, axis=1, keepdims=True)
        responsibilities = np.exp(logs - likelihood) + np.finfo(np.float64).tiny  # no component dies
        after = float(likelihood.mean())
        if after - before < _ENOUGH:
            break
        before = after
    return weights, means, factors


def _weighted_covariance(centred: Matrix, weights: Matrix) -> Matrix:
    return np.asarray((weights[:, None] * centred).T @ centred + DIAGONAL * np.eye(centred.shape[1]))
