"""The backends that need no other part of an embedding: what `minimum`, `part`, `sum` and `ensemble` are made of."""

from __future__ import annotations

from asd_edge.scoring.backends.class_log_odds import ClassLogOdds
from asd_edge.scoring.backends.density_map import DensityMap
from asd_edge.scoring.backends.gmm import GMM
from asd_edge.scoring.backends.k_means import KMeans
from asd_edge.scoring.backends.knn import KNN
from asd_edge.scoring.backends.local_density import LocalDensity
from asd_edge.scoring.backends.mahalanobis import Mahalanobis
from asd_edge.scoring.backends.mixture_likelihood import MixtureLikelihood
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.backends.pseudo_target import PseudoTarget
from asd_edge.scoring.backends.reconstruction import Reconstruction
from asd_edge.scoring.backends.spectral_shift import SpectralShift

Single = (
    NearestCentre
    | KMeans
    | KNN
    | Mahalanobis
    | GMM
    | LocalDensity
    | PseudoTarget
    | MixtureLikelihood
    | Reconstruction
    | ClassLogOdds
    | DensityMap
    | SpectralShift
)
