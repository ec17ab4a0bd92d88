"""All backends: as one field of a manifest or a recipe, and by the names that evaluation compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field

from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.backends.ensemble import Ensemble
from asd_edge.scoring.backends.gmm import GMM
from asd_edge.scoring.backends.k_means import KMeans
from asd_edge.scoring.backends.knn import KNN
from asd_edge.scoring.backends.local_density import LocalDensity
from asd_edge.scoring.backends.mahalanobis import Mahalanobis
from asd_edge.scoring.backends.minimum import Minimum
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.backends.part import Part
from asd_edge.scoring.backends.pseudo_target import PseudoTarget
from asd_edge.scoring.backends.single import Single
from asd_edge.scoring.backends.sum import Sum

AnyBackend = Annotated[Single | Minimum | Part | Sum | Ensemble, Field(discriminator="kind")]
"""Which backend, and its parameters: `kind` decides which keys there are."""

_KNN = KNN(neighbours=1, distance="cosine")
_KNN_MAHALANOBIS = KNN(neighbours=1, distance="mahalanobis")

BACKENDS: Final[Mapping[str, Backend]] = {
    "nearest_centre": NearestCentre(),
    "k_means": KMeans(centres=16),
    "knn": _KNN,
    "knn_mahalanobis": _KNN_MAHALANOBIS,
    "mahalanobis": Mahalanobis(),
    "gmm": GMM(components=4),
    "local_density": LocalDensity(neighbours=4, over=_KNN),
    "local_density_mahalanobis": LocalDensity(neighbours=4, over=_KNN_MAHALANOBIS),
    "pseudo_target": PseudoTarget(over=_KNN, ratio=0.5, count=8),
    "minimum": Minimum(parts=(NearestCentre(), _KNN, Mahalanobis())),
}
"""The backends with the parameters that the literature or our own measurements suggest (docs/backends.md).

For embeddings of any length and meaning; the other kinds read what one network gives, and stand in its recipe."""
