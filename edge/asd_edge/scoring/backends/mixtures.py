"""Mixtures of Gaussians with full covariances: learned by expectation-maximisation, and their densities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.backends.backend import Fitted, check_shapes
from asd_edge.scoring.backends.clusters import k_means
from asd_edge.scoring.backends.gaussians import Matrix, check_whitening, whitening
from asd_edge.strict import RefusalError

DIAGONAL = 1e-3
"""Added to every variance (Wilkinghoff, DCASE 2021 and ICASSP 2023)."""

_ITERATIONS = 100
_ENOUGH = 1e-3  # gain of the mean log-likelihood below which EM has converged, as in scikit-learn


def stored(weights: Matrix, means: Matrix, factors: Matrix) -> Fitted:
    """Return a mixture as a condition's arrays.

    They are `log_weights` [components], `means` [components, dims] and `whitenings` [components, dims, dims].
    """
    arrays = {"log_weights": np.log(weights), "means": means, "whitenings": factors}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def check_components(fitted: Fitted, dims: int) -> float:
    """Check the arrays of `stored`, of one mixture or of several that follow each other; return the weights' sum.

    Raises:
        RefusalError: they are no components of mixtures.
    """
    check_shapes(fitted, {"log_weights": (None,), "means": (None, dims), "whitenings": (None, dims, dims)})
    counts = {name: len(array) for name, array in fitted.items()}
    if len(set(counts.values())) > 1:
        raise RefusalError(f"arrays for different numbers of components: {counts}", "one number for all three")
    check_whitening("whitenings", fitted["whitenings"])
    return float(np.exp(fitted["log_weights"].astype(np.float64)).sum())


def peaks(components: Fitted) -> Matrix:
    """Return log w_k N(μ_k; μ_k, Σ_k) + dims/2 · log 2π of each component."""
    return _peaks(components["log_weights"], components["whitenings"])


def component_logs(components: Fitted) -> Callable[[NDArray[np.floating]], Matrix]:
    """Return what computes log w_k N(x; μ_k, Σ_k) + dims/2 · log 2π, [n, dims] -> [n, components]."""
    heights, means, factors = peaks(components), components["means"], components["whitenings"]
    return lambda rows: _logs(rows, heights, means, factors)


def together(mixtures: Sequence[Fitted]) -> Fitted:
    """Return arrays in which the components of some mixtures follow each other."""
    return {name: np.concatenate([mixture[name] for mixture in mixtures]) for name in mixtures[0]}


def clusters_of(rows: Matrix, components: int) -> Matrix:
    """Return which cluster of k-means each row is in, as responsibilities [n, components] to start EM from."""
    _, labels = k_means(rows, components)
    return np.asarray(labels[:, None] == np.unique(labels), dtype=np.float64)  # a cluster may have stayed empty


# Expectation-maximisation: responsibilities r_nk = w_k N(x_n; μ_k, Σ_k) / Σ_j ..., then weights, means and covariances
# weighted by them (Dempster, Laird, Rubin 1977).
def learned(rows: Matrix, responsibilities: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Return weights, means and whitenings that EM reaches from these responsibilities."""
    before = -np.inf
    for _ in range(_ITERATIONS):
        counts = responsibilities.sum(axis=0)
        means = responsibilities.T @ rows / counts[:, None]
        factors = np.stack(
            [
                whitening(weighted_covariance(rows - mean, weights / count))
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


def weighted_covariance(centred: Matrix, weights: Matrix) -> Matrix:
    """Return the covariance of centred rows with weights that sum to 1, with DIAGONAL on its diagonal."""
    return np.asarray((weights[:, None] * centred).T @ centred + DIAGONAL * np.eye(centred.shape[1]))


def _peaks(log_weights: NDArray[np.floating], factors: NDArray[np.floating]) -> Matrix:
    diagonals = np.diagonal(factors, axis1=1, axis2=2).astype(np.float64)
    return np.asarray(log_weights + np.log(diagonals).sum(axis=1))


def _logs(
    rows: NDArray[np.floating], peaks: Matrix, means: NDArray[np.floating], factors: NDArray[np.floating]
) -> Matrix:
    white = (rows - means[:, None]) @ factors  # [components, n, dims]
    return np.asarray(peaks - 0.5 * np.einsum("knd,knd->nk", white, white, dtype=np.float64))
