"""Backends against scikit-learn and scipy, which compute the same quantities from their textbook definitions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.covariance import EmpiricalCovariance, ShrunkCovariance
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.backends.gaussians import LEAST_VARIANCE, PRIOR_CLIPS
from asd_edge.scoring.backends.gmm import GMM
from asd_edge.scoring.backends.k_means import KMeans
from asd_edge.scoring.backends.knn import KNN
from asd_edge.scoring.backends.local_density import LocalDensity
from asd_edge.scoring.backends.mahalanobis import Mahalanobis
from asd_edge.scoring.backends.minimum import Minimum
from asd_edge.scoring.backends.mixtures import DIAGONAL
from asd_edge.scoring.backends.nearest_centre import NearestCentre

DIMS = 16
Rows = NDArray[np.float64]

# Ours stores and scores in single precision, they compute in double: 1e-7 relative in every number, times the condition
# of the whitening, whose largest number is about 100 here.
SINGLE = {"rtol": 1e-4, "atol": 1e-4}


def clips(places: int, count: int, *, seed: int) -> dict[str, list[NDArray[np.float32]]]:
    generator = np.random.default_rng(seed)
    found = {}
    for place in range(places):
        centre = generator.standard_normal(DIMS)
        sound = centre + 0.25 * generator.standard_normal((count, 5, DIMS))
        found[f"place {place}"] = list(sound.astype(np.float32))
    return found


SOURCE = clips(4, 15, seed=0)
TARGET = clips(1, 4, seed=1)
X = np.random.default_rng(2).standard_normal((40, DIMS)).astype(np.float32)
UNIT: Rows = normalize(X.astype(np.float64))


def segments_of(known: Mapping[str, list[NDArray[np.float32]]]) -> Rows:
    rows: Rows = normalize(np.concatenate([c for members in known.values() for c in members]).astype(np.float64))
    return rows


def means_of(known: Mapping[str, list[NDArray[np.float32]]]) -> Rows:
    rows: Rows = normalize(np.stack([c.mean(axis=0) for members in known.values() for c in members]).astype(np.float64))
    return rows


def distances(backend: Backend, *, target: bool = False) -> NDArray[np.float32]:
    source = backend.fit(SOURCE)
    return backend.scorer([backend.fit(TARGET, source=source) if target else source])(X)[:, 0]


@pytest.mark.parametrize("k", [1, 4])
def test_knn_is_the_mean_distance_to_sklearns_nearest_neighbours(k: int) -> None:
    theirs, _ = NearestNeighbors(n_neighbors=k, metric="cosine").fit(means_of(SOURCE)).kneighbors(X)
    np.testing.assert_allclose(distances(KNN(neighbours=k, distance="cosine")), theirs.mean(axis=1), **SINGLE)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("target", [False, True])
def test_mahalanobis_knn_has_the_precision_of_the_sources_segments(k: int, target: bool) -> None:
    precision = np.linalg.inv(covariance_by_sklearn())
    known = means_of(TARGET if target else SOURCE)
    metric = {"metric": "mahalanobis", "metric_params": {"VI": precision}, "algorithm": "brute"}
    theirs, _ = NearestNeighbors(n_neighbors=k, **metric).fit(known).kneighbors(UNIT)
    ours = distances(KNN(neighbours=k, distance="mahalanobis"), target=target)
    np.testing.assert_allclose(ours, theirs.mean(axis=1), **SINGLE)


def covariance_by_sklearn() -> Rows:
    """The source's covariance: scikit-learn's shrinkage towards the sphere, by n/(n + prior) for n clips."""
    shrinkage = PRIOR_CLIPS / (60 + PRIOR_CLIPS)
    found: Rows = ShrunkCovariance(shrinkage=shrinkage).fit(segments_of(SOURCE)).covariance_
    return found + LEAST_VARIANCE * np.eye(DIMS)


def test_mahalanobis_of_the_source_is_sklearns_with_shrinkage() -> None:
    theirs = EmpiricalCovariance().fit(segments_of(SOURCE))
    theirs.covariance_, theirs.precision_ = covariance_by_sklearn(), np.linalg.inv(covariance_by_sklearn())
    np.testing.assert_allclose(distances(Mahalanobis()), np.sqrt(theirs.mahalanobis(UNIT)), **SINGLE)


def test_mahalanobis_of_few_clips_leans_on_the_source() -> None:
    rows = segments_of(TARGET)
    mixed = (4 * np.cov(rows.T, bias=True) + PRIOR_CLIPS * covariance_by_sklearn()) / (4 + PRIOR_CLIPS)
    precision = np.linalg.inv(mixed + LEAST_VARIANCE * np.eye(DIMS))
    theirs = cdist(UNIT, rows.mean(axis=0, keepdims=True), "mahalanobis", VI=precision)[:, 0]
    np.testing.assert_allclose(distances(Mahalanobis(), target=True), theirs, **SINGLE)


@pytest.mark.parametrize("components", [1, 4])
def test_a_mixture_is_fitted_and_scored_as_sklearns_up_to_a_constant(components: int) -> None:
    rows = segments_of(SOURCE)
    theirs = GaussianMixture(components, covariance_type="full", reg_covar=DIAGONAL, n_init=5, random_state=0).fit(rows)
    ours = GMM(components=components)
    learned = ours.fit(SOURCE)
    order, their_order = np.argsort(learned["means"][:, 0]), np.argsort(theirs.means_[:, 0])
    # EM of the two stops at gains below 1e-3, not at the same parameters to the last digit.
    np.testing.assert_allclose(learned["means"][order], theirs.means_[their_order], atol=5e-3)
    constant = distances(ours) + theirs.score_samples(UNIT)
    assert np.ptp(constant) <= 2e-3 * np.ptp(theirs.score_samples(UNIT))


def test_a_mixtures_score_is_sklearns_log_likelihood_of_the_same_parameters() -> None:
    learned = GMM(components=4).fit(SOURCE)
    theirs = GaussianMixture(len(learned["means"]), covariance_type="full")
    theirs.weights_ = np.exp(learned["log_weights"].astype(np.float64))
    theirs.means_ = learned["means"].astype(np.float64)
    theirs.precisions_cholesky_ = learned["whitenings"].astype(np.float64)
    ours = distances(GMM(components=4)).astype(np.float64)
    shifted = ours - ours[0] + theirs.score_samples(UNIT) - theirs.score_samples(UNIT[:1])
    np.testing.assert_allclose(shifted, 0.0, atol=1e-5 * np.ptp(ours))


def test_few_clips_of_a_mixture_are_a_gaussian_that_leans_on_the_components_of_the_source() -> None:
    learned = GMM(components=4).fit(SOURCE)
    precisions = [factor @ factor.T for factor in learned["whitenings"].astype(np.float64)]
    within = sum(np.exp(w) * np.linalg.inv(p) for w, p in zip(learned["log_weights"], precisions, strict=True))
    rows = segments_of(TARGET)
    own = np.cov(rows.T, bias=True) + DIAGONAL * np.eye(DIMS)
    mixed = (4 * own + PRIOR_CLIPS * within) / (4 + PRIOR_CLIPS) + LEAST_VARIANCE * np.eye(DIMS)
    theirs = cdist(UNIT, rows.mean(axis=0, keepdims=True), "mahalanobis", VI=np.linalg.inv(mixed))[:, 0]
    np.testing.assert_allclose(distances(GMM(components=4), target=True), theirs**2 / 2, **SINGLE)


def test_k_means_is_as_tight_as_sklearns_and_keeps_every_target_clip() -> None:
    backend = KMeans(centres=4)
    source = backend.fit(SOURCE)
    best = SklearnKMeans(4, n_init=20, random_state=0).fit(means_of(SOURCE)).inertia_
    ours = cdist(means_of(SOURCE), source["references"], "sqeuclidean").min(axis=1).sum()
    assert ours <= 1.05 * best
    few = KMeans(centres=2).fit(TARGET, source=source)["references"]  # more clips than centres, and all are kept
    np.testing.assert_allclose(few, means_of(TARGET), atol=1e-6)


def test_centres_are_in_the_order_of_the_labels_that_stand_beside_them() -> None:
    theirs = [np.mean([clip.mean(axis=0) for clip in members], axis=0) for members in SOURCE.values()]
    np.testing.assert_allclose(NearestCentre().fit(SOURCE)["references"], theirs, atol=1e-6)


def test_local_density_divides_by_the_mean_distance_to_the_neighbours_of_the_reference() -> None:
    over = KNN(neighbours=1, distance="cosine")
    known, few = means_of(SOURCE), means_of(TARGET)
    among = np.sort(cdist(known, known, "cosine"), axis=1)[:, 1:5].mean(axis=1)  # none is its own neighbour
    backend = LocalDensity(neighbours=4, over=over)
    np.testing.assert_allclose(distances(backend), (cdist(X, known, "cosine") / among).min(axis=1), **SINGLE)
    around = np.sort(cdist(few, np.concatenate([few, known]), "cosine"), axis=1)[:, 1:5].mean(axis=1)
    theirs = (cdist(X, few, "cosine") / around).min(axis=1)
    np.testing.assert_allclose(distances(backend, target=True), theirs, **SINGLE)


def test_the_minimum_is_of_z_scores_up_to_a_constant() -> None:
    parts: tuple[NearestCentre | Mahalanobis, ...] = (NearestCentre(), Mahalanobis())
    backend = Minimum(parts=parts)
    learned = backend.fit(SOURCE)
    listed = [(label, clip) for label, members in SOURCE.items() for clip in members]
    scores = []
    for i, part in enumerate(parts):
        left_out = []
        for fold in range(5):  # every fifth clip is left out in turn
            kept: dict[str, list[NDArray[np.float32]]] = {}
            for number, (label, clip) in enumerate(listed):
                if number % 5 != fold:
                    kept.setdefault(label, []).append(clip)
            out = np.concatenate([clip for _, clip in listed[fold::5]])
            left_out.append(part.scorer([part.fit(kept)])(out))
        normal = np.concatenate(left_out).astype(np.float64)
        assert learned["mean"][i] == pytest.approx(normal.mean(), rel=1e-5)
        scores.append((distances(part) - normal.mean()) / normal.std())
    constant = distances(backend) - np.min(scores, axis=0)
    np.testing.assert_allclose(constant, constant[0], atol=1e-3)
    assert constant[0] > 0.0
