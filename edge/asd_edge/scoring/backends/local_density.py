"""Distances to references, each rescaled by how close normal sound lies together around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from asd_edge.scoring.backends.backend import Clips, Distances, Embeddings, Fitted
from asd_edge.scoring.backends.k_means import KMeans
from asd_edge.scoring.backends.knn import KNN
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.backends.references import ReferenceBackend
from asd_edge.strict import RefusalError

LEAST_SPACING = 1e-6
"""Copies of a clip lie at distance 0 from each other; nothing can be measured in units of that."""


# score(x) = min_i d(x, r_i) / mean_k d(r_i, its k nearest references), k ≈ 4 ("Keeping the Balance", ICASSP 2025, and
# arXiv 2509.10951). Sources are many and lie close together, targets few and far between: in units of the spacing
# around them, their distances can be compared.
class LocalDensity(ReferenceBackend):
    """Any distance to references, in units of the spacing around the reference.

    `over`: the distance and what its references are. `neighbours`: k; with fewer references, all of the others.
    """

    kind: Literal["local_density"] = "local_density"
    neighbours: Annotated[int, Field(ge=1, le=256)]
    over: Annotated[NearestCentre | KMeans | KNN, Field(discriminator="kind")]

    @property
    def nearest(self) -> int:
        """As many as the distance beneath takes."""
        return self.over.nearest

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return what the distance beneath needs, and `spacing` [references].

        The neighbours of a condition that comes later are its own references and the source's: among the few clips of
        its own there may be none.
        """
        fitted = self.over.fit(clips, source=source)
        references = fitted["references"]
        among = [fitted] if source is None else [fitted, {name: source[name] for name in fitted}]
        distances = self.over.to_references(among)(references)  # [references, references of all]
        np.fill_diagonal(distances, np.inf)  # none is its own neighbour
        k = min(self.neighbours, distances.shape[1] - 1)
        if k == 0:  # a single reference and no source: no unit but its own
            return {**fitted, "spacing": np.ones(1, dtype=np.float32)}
        spacing = np.partition(distances, k - 1, axis=1)[:, :k].mean(axis=1)
        return {**fitted, "spacing": np.maximum(spacing, np.float32(LEAST_SPACING))}

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        self.over.check({name: array for name, array in fitted.items() if name != "spacing"}, dims)
        spacing = fitted.get("spacing")
        expected = fitted["references"].shape[:1]
        if spacing is None or spacing.shape != expected or not (spacing > 0.0).all() or not np.isfinite(spacing).all():
            raise RefusalError("a spacing that does not fit the references", "a positive number for each of them")

    def to_references(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the rescaled distance to each reference."""
        beneath = self.over.to_references(conditions)
        spacing = np.concatenate([fitted["spacing"] for fitted in conditions])

        def distances(embeddings: Embeddings) -> NDArray[np.float32]:
            return np.asarray(beneath(embeddings) / spacing, dtype=np.float32)

        return distances
