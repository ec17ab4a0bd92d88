"""Mean distance to the k nearest clips of normal sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from asd_edge.scoring.backends.backend import (
    Clips,
    Distances,
    Fitted,
    all_segments,
    check_shapes,
    clip_means,
    count_of,
)
from asd_edge.scoring.backends.gaussians import check_whitening, covariance, shrunk, whitening
from asd_edge.scoring.backends.references import (
    ReferenceBackend,
    check_directions,
    cosine_to_references,
    factored_to_references,
)
from asd_edge.scoring.distances import normalised


class KNN(ReferenceBackend):
    """The references are the mean embeddings of all clips, at unit length.

    `neighbours`: k; a condition of fewer clips takes them all. `distance`: cosine, or Mahalanobis with the precision of
    the source's segments (Fujimura et al., DCASE 2023, name the latter; which covariance is our choice).
    """

    kind: Literal["knn"] = "knn"
    neighbours: Annotated[int, Field(ge=1, le=4096)]
    distance: Literal["cosine", "mahalanobis"]

    @property
    def nearest(self) -> int:
        """k."""
        return self.neighbours

    @property
    def unrelated(self) -> float:
        """At a right angle two vectors have nothing in common; Mahalanobis distances have no such bound."""
        return 1.0 if self.distance == "cosine" else super().unrelated

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return the references and, for Mahalanobis, the `whitening` of the source's covariance [dims, dims]."""
        references = clip_means(clips)
        if self.distance == "cosine":
            return {"references": references}
        if source is not None:  # few clips tell where normal sound is, not how it varies
            return {"references": references, "whitening": source["whitening"]}
        mixed = shrunk(covariance(all_segments(clips)), clips=count_of(clips))
        return {"references": references, "whitening": whitening(mixed).astype(np.float32)}

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        square: dict[str, tuple[int | None, ...]] = {"whitening": (dims, dims)} if self.distance != "cosine" else {}
        check_shapes(fitted, {"references": (None, dims)} | square)
        check_directions(fitted)
        if square:
            check_whitening("whitening", fitted["whitening"])

    def to_references(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distance to each reference."""
        if self.distance == "cosine":
            return cosine_to_references(conditions)
        # d²(x, r) = (x − r)ᵀ Σ⁻¹ (x − r) = ‖x U − r U‖², Σ⁻¹ = U Uᵀ
        return factored_to_references(conditions, "whitening", of=normalised)
