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
    count_of,
)
from asd_edge.scoring.backends.gaussians import Matrix, covariance_of, shrunk, whitening
from asd_edge.scoring.backends.mixtures import (
    check_components,
    clusters_of,
    component_logs,
    learned,
    peaks,
    stored,
    together,
    weighted_covariance,
)
from asd_edge.scoring.distances import normalised
from asd_edge.strict import RefusalError


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
            own = weighted_covariance(rows - mean, np.full(len(rows), 1.0 / len(rows)))
            mixed = shrunk(own, clips=count_of(clips), prior=_within(source))
            return stored(np.ones(1), mean[None], whitening(mixed)[None])
        return stored(*learned(rows, clusters_of(rows, min(self.components, count_of(clips)))))

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        total = check_components(fitted, dims)
        if abs(total - 1.0) > 1e-4:  # float32 logarithms
            raise RefusalError(f"weights that sum to {total:.4g}", "weights that sum to 1")

    # distance = b − log p(x), log p(x) = log Σ_k w_k N(x; μ_k, Σ_k). b = log Σ_k w_k N(μ_k; μ_k, Σ_k) is at least the
    # largest log p: a constant of the condition, so that the order of its scores stays, and distances are >= 0, which
    # deadband and the gamma fit need. It also lets conditions compete by how unusual a sound is under each, not by
    # density, which a condition of more varied sound has less of everywhere. (2π)^(−dims/2) cancels.
    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        starts = np.cumsum([0, *(len(fitted["means"]) for fitted in conditions[:-1])])
        components = together(conditions)
        logs_of = component_logs(components)
        best = np.logaddexp.reduceat(peaks(components), starts)

        def distances(embeddings: Embeddings) -> NDArray[np.float32]:
            logs = logs_of(normalised(embeddings))
            with np.errstate(invalid="ignore"):  # NaN in, NaN out
                likelihood = np.logaddexp.reduceat(logs, starts, axis=1)  # [segments, conditions]
            return np.asarray(np.maximum(best - likelihood, 0.0), dtype=np.float32)

        return distances


def _within(source: Fitted) -> Matrix:
    """Return the covariance of the source around the component that a segment belongs to."""
    weights = np.exp(source["log_weights"].astype(np.float64))
    parts = [weight * covariance_of(factor) for weight, factor in zip(weights, source["whitenings"], strict=True)]
    return np.asarray(np.sum(parts, axis=0))
