"""Every kind of backend with sound to hear: what its contract is checked with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.backends.class_log_odds import ClassLogOdds
from asd_edge.scoring.backends.density_map import DensityMap
from asd_edge.scoring.backends.ensemble import Ensemble
from asd_edge.scoring.backends.gmm import GMM
from asd_edge.scoring.backends.k_means import KMeans
from asd_edge.scoring.backends.kinds import BACKENDS
from asd_edge.scoring.backends.knn import KNN
from asd_edge.scoring.backends.local_density import LocalDensity
from asd_edge.scoring.backends.mahalanobis import Mahalanobis
from asd_edge.scoring.backends.minimum import Minimum
from asd_edge.scoring.backends.mixture_likelihood import MixtureLikelihood
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.backends.part import Part
from asd_edge.scoring.backends.pseudo_target import PseudoTarget
from asd_edge.scoring.backends.reconstruction import Reconstruction
from asd_edge.scoring.backends.spectral_shift import SpectralShift
from asd_edge.scoring.backends.sum import Sum
from tests.contracts.outputs import (
    DENSITIES,
    DIRECTIONS,
    ERROR,
    LOG_ODDS,
    MEAN_RESIDUALS,
    RESIDUALS,
    SPECTRA,
    TWICE,
    VECTOR_AND_DENSITIES,
    VECTOR_AND_SPECTRUM,
    WITH_MAXIMUM,
    Output,
)

DIMS = DIRECTIONS.dims
_GMM, _KNN = GMM(components=3), KNN(neighbours=1, distance="cosine")
KINDS: dict[str, Backend] = {  # of vectors that are compared by direction
    **BACKENDS,
    "knn of 3": KNN(neighbours=3, distance="cosine"),
    "density over centres": LocalDensity(neighbours=4, over=NearestCentre()),
    "density over k-means": LocalDensity(neighbours=4, over=KMeans(centres=4)),
    "density over Mahalanobis": LocalDensity(neighbours=2, over=KNN(neighbours=2, distance="mahalanobis")),
}


@dataclass(frozen=True)
class Case:
    """A backend, and the kind of output that it reads. `misfit`: a length of embeddings that it cannot read."""

    backend: Backend
    output: Output
    misfit: int | None


CASES = {name: Case(backend, DIRECTIONS, DIMS + 1) for name, backend in KINDS.items()} | {
    "pseudo-target GMM": Case(PseudoTarget(over=_GMM, ratio=0.7, count=4), DIRECTIONS, DIMS + 1),
    "part": Case(Part(start=2, stop=11, over=Mahalanobis()), DIRECTIONS, 10),
    "part that learns nothing": Case(
        Part(start=12, stop=17, over=DensityMap()), replace(VECTOR_AND_DENSITIES, decisive=13), 16
    ),
    "part of several": Case(Part(start=0, stop=12, over=Minimum(parts=(_KNN, Mahalanobis()))), DIRECTIONS, 11),
    "sum": Case(Sum(parts=(NearestCentre(), Mahalanobis()), weights=(2.0, 0.5)), DIRECTIONS, DIMS + 1),
    "sum of parts": Case(
        Sum(parts=(Part(start=0, stop=12, over=_GMM), Part(start=12, stop=17, over=DensityMap()))),
        VECTOR_AND_DENSITIES,
        16,
    ),
    "sum that learns nothing": Case(
        Sum(parts=(Part(start=12, stop=17, over=DensityMap()), Part(start=13, stop=15, over=DensityMap()))),
        replace(VECTOR_AND_DENSITIES, decisive=13),
        16,
    ),
    "scaled sum": Case(
        Sum(
            parts=(
                Part(start=0, stop=12, over=KNN(neighbours=1, distance="mahalanobis")),
                Part(start=12, stop=24, over=SpectralShift()),
            ),
            weights=(0.5, 1.0),
            scaled=True,
        ),
        VECTOR_AND_SPECTRUM,
        16,
    ),
    "ensemble": Case(Ensemble(members=(_KNN, KMeans(centres=4))), TWICE, 25),
    "ensemble of sums": Case(
        Ensemble(members=(Sum(parts=(_KNN, Part(start=0, stop=9, over=Mahalanobis()))), _GMM)), TWICE, 16
    ),
    "mean square error": Case(Reconstruction(reading="mse"), ERROR, 2),
    "residuals": Case(Reconstruction(reading="mahalanobis"), RESIDUALS, 15),
    "mean residuals": Case(Reconstruction(reading="mahalanobis_of_mean"), MEAN_RESIDUALS, 15),
    "log-odds": Case(ClassLogOdds(), LOG_ODDS, 5),
    "mixtures": Case(MixtureLikelihood(components=2, embedding=12, temporal_maximum=False), DIRECTIONS, 11),
    "mixtures and maximum": Case(
        MixtureLikelihood(components=2, embedding=12, temporal_maximum=True), WITH_MAXIMUM, 16
    ),
    "density map": Case(DensityMap(), DENSITIES, None),
    "spectral shift": Case(SpectralShift(), SPECTRA, None),
}
