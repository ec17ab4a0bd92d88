"""Backends of particular networks against scipy, scikit-learn and the equations written out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from asd_edge.scoring.backends.backend import Backend, Clips, Fitted
from asd_edge.scoring.backends.class_log_odds import BOUND, ClassLogOdds
from asd_edge.scoring.backends.density_map import DensityMap
from asd_edge.scoring.backends.ensemble import Ensemble
from asd_edge.scoring.backends.gaussians import LEAST_VARIANCE, PRIOR_CLIPS
from asd_edge.scoring.backends.gmm import GMM
from asd_edge.scoring.backends.knn import KNN
from asd_edge.scoring.backends.mixture_likelihood import MixtureLikelihood
from asd_edge.scoring.backends.mixtures import DIAGONAL
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.backends.part import Part
from asd_edge.scoring.backends.pseudo_target import PseudoTarget
from asd_edge.scoring.backends.reconstruction import Reconstruction
from asd_edge.scoring.backends.sum import Sum

Rows = NDArray[np.float64]

# Embeddings and what is learned are in single precision: 6e-8 relative in every number, times the condition of a
# covariance, some hundreds here.
SINGLE = {"rtol": 2e-4, "atol": 2e-4}

BANDS, STACKS = 6, 40


def residual_clips(count: int, *, seed: int, bands: int = BANDS) -> list[Rows]:
    """Residual rows of clips of three segments, [3, STACKS, bands], whose bands hang together."""
    rng = np.random.default_rng(seed)
    mix = np.eye(bands) + 0.5 * rng.standard_normal((bands, bands)) / np.sqrt(bands)
    return [(0.3 + rng.standard_normal((3, STACKS, bands))) @ mix for _ in range(count)]


def statistics(clip: Rows) -> NDArray[np.float32]:
    """The mean row and the triangle of second moments of each segment, by loops in the order of the triangle."""
    bands = clip.shape[-1]
    found = []
    for rows in clip:
        triangle = [np.mean(rows[:, i] * rows[:, j]) for i in range(bands) for j in range(i, bands)]
        found.append([*rows.mean(axis=0), *triangle])
    return np.array(found, dtype=np.float32)


RESIDUALS, FEW, HEARD = residual_clips(12, seed=0), residual_clips(3, seed=1), residual_clips(5, seed=2)


def covariance_of(clips: list[Rows], prior: Rows | None = None) -> Rows:
    rows = np.concatenate([clip.reshape(-1, clip.shape[-1]) for clip in clips])
    own = np.cov(rows.T, bias=True)
    towards = np.trace(own) / len(own) * np.eye(len(own)) if prior is None else prior
    mixed: Rows = (len(clips) * own + PRIOR_CLIPS * towards) / (len(clips) + PRIOR_CLIPS)
    return mixed + LEAST_VARIANCE * np.eye(len(own))


@pytest.mark.parametrize("target", [False, True])
@pytest.mark.parametrize("reading", ["mahalanobis", "mahalanobis_of_mean"])
def test_residuals_are_judged_as_if_each_row_were_at_hand(reading: str, target: bool) -> None:
    backend = Reconstruction.model_validate({"reading": reading})
    learned = backend.fit({"source": [statistics(clip) for clip in RESIDUALS]})
    covariance = covariance_of(RESIDUALS)
    if target:
        learned = backend.fit({"target": [statistics(clip) for clip in FEW]}, source=learned)
        covariance = covariance_of(FEW, prior=covariance)
    precision = np.linalg.inv(covariance)
    for clip in HEARD:
        expected = []
        for rows in clip:
            pairs = rows @ precision @ rows.T  # r_iᵀ Σ⁻¹ r_j
            expected.append(np.trace(pairs) / STACKS if reading == "mahalanobis" else pairs.mean())
        np.testing.assert_allclose(backend.scorer([learned])(statistics(clip))[:, 0], expected, **SINGLE)


def test_residuals_of_128_bands_are_judged_in_single_precision() -> None:
    """8384 numbers; neighbouring bands correlate to 0.999, so that terms of the trace are 1e3 times their sum."""
    rng = np.random.default_rng(3)
    correlation = 0.999 ** np.abs(np.subtract.outer(np.arange(128), np.arange(128)))
    rows = rng.multivariate_normal(np.zeros(128), 25.0 * correlation, size=(20, 1, 300))  # dB
    embeddings = [_fast_statistics(clip) for clip in rows]
    backend = Reconstruction(reading="mahalanobis")
    learned = backend.fit({"source": embeddings})
    backend.check(learned, 8384)
    precision = np.linalg.inv(covariance_of(list(rows)))
    for clip, embedding in zip(rows, embeddings, strict=True):
        expected = np.einsum("ni,ij,nj->", clip[0], precision, clip[0]) / 300
        assert backend.scorer([learned])(embedding)[0, 0] == pytest.approx(expected, rel=1e-3)


def _fast_statistics(clip: Rows) -> NDArray[np.float32]:
    moments = np.einsum("sni,snj->sij", clip, clip) / clip.shape[1]
    i, j = np.triu_indices(clip.shape[-1])
    return np.concatenate([clip.mean(axis=1), moments[:, i, j]], axis=1).astype(np.float32)


def test_the_mean_square_error_is_the_score() -> None:
    backend = Reconstruction(reading="mse")
    errors = np.array([[0.0], [2.5], [7.0]], dtype=np.float32)
    learned = backend.fit({"source": [errors]})
    np.testing.assert_array_equal(backend.scorer([learned, learned])(errors), errors.repeat(2, axis=1))


def test_log_odds_of_the_own_section_differ_from_equation_4_by_a_constant() -> None:
    rng = np.random.default_rng(4)

    def patches(section: int) -> tuple[Rows, NDArray[np.float32]]:
        log_p = log_softmax(3.0 * np.eye(3)[section] + rng.standard_normal((30, 3)), axis=1)
        others = np.stack([logsumexp(np.delete(log_p, k, axis=1), axis=1) for k in range(3)], axis=1)
        return np.exp(log_p), (others - log_p).astype(np.float32)

    backend = ClassLogOdds()
    for section in range(3):
        learned = backend.fit({"source/all": [patches(section)[1] for _ in range(5)]})
        assert learned["chosen"].tolist() == np.eye(3)[section].tolist()
        p, embedding = patches(rng.integers(3))
        equation_4 = np.mean(np.log((1.0 - p[:, section]) / p[:, section]))
        score = backend.scorer([learned])(embedding).mean()
        assert score - BOUND == pytest.approx(equation_4, abs=1e-5)  # float32 log-odds of up to 16


def test_posteriors_of_0_and_1_have_the_largest_and_the_smallest_distance() -> None:
    learned = ClassLogOdds().fit({"source": [np.array([[-3.0, 3.0]], np.float32)]})
    found = ClassLogOdds().scorer([learned])(np.array([[np.inf, -np.inf], [-np.inf, np.inf]], np.float32))
    np.testing.assert_allclose(found[:, 0], [2.0 * np.log((1.0 - 1e-7) / 1e-7), 0.0], rtol=1e-6)


def test_a_density_map_is_minus_log_p_of_the_latent_without_its_constant() -> None:
    z = np.random.default_rng(5).standard_normal((4, 10, 48))  # segments, time steps, latent numbers
    learned = DensityMap().fit({"source": [np.ones((2, 10), np.float32)]})
    found = DensityMap().scorer([learned])((0.5 * z**2).mean(axis=2).astype(np.float32))[:, 0]
    expected = -norm.logpdf(z).mean(axis=(1, 2)) - 0.5 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


DIMS, MAXIMA = 8, 5


def heard_clips(places: int, count: int, *, seed: int) -> dict[str, list[NDArray[np.float32]]]:
    """By attribute, clips of three segments: a vector around a place, then the maximum of some bands."""
    rng = np.random.default_rng(seed)
    found = {}
    for place in range(places):
        vectors = rng.standard_normal(DIMS) + 0.3 * rng.standard_normal((count, 3, DIMS))
        maxima = rng.normal(-30.0, 5.0, MAXIMA) + rng.standard_normal((count, 3, MAXIMA))
        found[f"attribute {place}"] = list(np.concatenate([vectors, maxima], axis=2).astype(np.float32))
    return found


SOURCE, TARGET = heard_clips(2, 24, seed=6), heard_clips(1, 3, seed=7)
X = np.random.default_rng(8).standard_normal((40, DIMS + MAXIMA)).astype(np.float32)
X[:, DIMS:] -= 30.0


def vectors_of(*clips: NDArray[np.float32]) -> Rows:
    rows: Rows = normalize(np.concatenate(clips)[:, :DIMS].astype(np.float64))
    return rows


def best_component(mixture: Fitted, prefix: str, rows: Rows) -> Rows:
    """max_k log w_k N(x; μ_k, Σ_k) of stored numbers by scipy."""
    weights, means, factors = (
        mixture[f"{prefix}.{name}"].astype(np.float64) for name in ("log_weights", "means", "whitenings")
    )
    each = [
        weight + multivariate_normal(mean, np.linalg.inv(factor @ factor.T)).logpdf(rows)
        for weight, mean, factor in zip(weights, means, factors, strict=True)
    ]
    return np.asarray(np.max(each, axis=0))


def same_up_to_a_constant(ours: NDArray[np.float32], theirs: Rows) -> None:
    difference = ours.astype(np.float64) - theirs
    np.testing.assert_allclose(difference, difference[0], atol=1e-4 * np.ptp(theirs))
    assert (ours >= 0.0).all()


@pytest.mark.parametrize("temporal_maximum", [False, True])
def test_the_score_is_equations_2_to_4_of_the_mixtures_up_to_a_constant(temporal_maximum: bool) -> None:
    backend = MixtureLikelihood(components=3, embedding=DIMS, temporal_maximum=temporal_maximum)
    source = backend.fit(SOURCE)
    target = backend.fit(TARGET, source=source)
    found, unit = backend.scorer([source, target])(X), vectors_of(X)
    z_source = -best_component(source, "section", unit) - best_component(source, "attribute", unit)
    if temporal_maximum:
        z_source -= best_component(source, "maximum", X[:, DIMS:].astype(np.float64))
    z_target = -best_component(source, "section", unit) - best_component(target, "attribute", unit)
    same_up_to_a_constant(found[:, 0], z_source)
    same_up_to_a_constant(found[:, 1], z_target)
    known = np.concatenate(TARGET["attribute 0"])
    assert backend.scorer([target])(known).min() == pytest.approx(
        0.0, abs=1e-3
    )  # what a target's distances are counted from
    own = -best_component(source, "section", vectors_of(known)) - best_component(target, "attribute", vectors_of(known))
    np.testing.assert_allclose(found[:, 1], z_target - own.min(), rtol=1e-4, atol=1e-2)


def test_sections_and_attributes_have_the_mixtures_that_sklearn_finds() -> None:
    learned = MixtureLikelihood(components=1, embedding=DIMS, temporal_maximum=False).fit(SOURCE)
    groups = {"section": [c for clips in SOURCE.values() for c in clips]} | SOURCE
    ours = np.concatenate([learned["section.means"], learned["attribute.means"]])
    factors = np.concatenate([learned["section.whitenings"], learned["attribute.whitenings"]]).astype(np.float64)
    for clips, mean, factor in zip(groups.values(), ours, factors, strict=True):
        theirs = GaussianMixture(1, covariance_type="full", reg_covar=DIAGONAL).fit(vectors_of(*clips))
        np.testing.assert_allclose(mean, theirs.means_[0], atol=1e-6)
        np.testing.assert_allclose(factor @ factor.T, theirs.precisions_[0], rtol=1e-3, atol=1e-2)


def test_a_later_condition_has_a_component_at_each_of_its_three_clips() -> None:
    backend = MixtureLikelihood(components=3, embedding=DIMS, temporal_maximum=True)
    source = backend.fit(SOURCE)
    far_apart = {"hot": [clips["attribute 0"][0] for clips in (heard_clips(1, 1, seed=s) for s in (20, 21, 22))]}
    learned = backend.fit(far_apart, source=source)
    assert not [name for name in learned if name.startswith("maximum")]
    theirs = [vectors_of(clip).mean(axis=0) for clip in far_apart["hot"]]
    nearest = [min(range(3), key=lambda k: float(np.sum((learned["attribute.means"][k] - m) ** 2))) for m in theirs]
    assert sorted(nearest) == [0, 1, 2]
    np.testing.assert_allclose(learned["attribute.means"][nearest], theirs, atol=1e-5)
    np.testing.assert_allclose(np.exp(learned["attribute.log_weights"]), 1.0 / 3.0, rtol=1e-5)


def test_few_clips_have_few_components_and_the_maximum_leans_on_all_attributes() -> None:
    backend = MixtureLikelihood(components=16, embedding=DIMS, temporal_maximum=True)
    learned = backend.fit({**SOURCE, "rare": TARGET["attribute 0"]})
    assert len(learned["section.means"]) == 51 // 8
    assert len(learned["attribute.means"]) == 24 // 8 + 24 // 8 + 1
    by_label = [np.concatenate(c)[:, DIMS:].astype(np.float64) for c in (*SOURCE.values(), TARGET["attribute 0"])]
    pooled = np.average([np.cov(rows.T, bias=True) for rows in by_label], axis=0, weights=[24, 24, 3])
    own = np.cov(by_label[2].T, bias=True)
    expected = (3 * own + PRIOR_CLIPS * pooled) / (3 + PRIOR_CLIPS) + (LEAST_VARIANCE + DIAGONAL) * np.eye(MAXIMA)
    factor = learned["maximum.whitenings"][2].astype(np.float64)
    np.testing.assert_allclose(np.linalg.inv(factor @ factor.T), expected, rtol=1e-4, atol=1e-5)


def distances(backend: Backend, clips: Clips = SOURCE) -> NDArray[np.float32]:
    return backend.scorer([backend.fit(clips)])(X)[:, 0]


def nearest_clip(part: slice) -> Rows:
    known = normalize(np.stack([clip.mean(axis=0) for clips in SOURCE.values() for clip in clips])[:, part])
    found, _ = NearestNeighbors(n_neighbors=1, metric="cosine").fit(known).kneighbors(X[:, part])
    return np.asarray(found[:, 0])


def test_a_part_is_heard_alone_and_a_sum_is_weighted() -> None:
    knn = KNN(neighbours=1, distance="cosine")
    vector, levels = Part(start=0, stop=DIMS, over=knn), Part(start=DIMS, stop=DIMS + MAXIMA, over=knn)
    np.testing.assert_allclose(distances(levels), nearest_clip(slice(DIMS, None)), atol=2e-6)
    expected = 2.0 * nearest_clip(slice(DIMS)) + 0.5 * nearest_clip(slice(DIMS, None))
    np.testing.assert_allclose(distances(Sum(parts=(vector, levels), weights=(2.0, 0.5))), expected, atol=5e-6)


def test_an_ensemble_adds_the_distances_of_equal_parts() -> None:
    """Of the same backend a member, what one network alone would score: twice that where both gave the same."""
    twice = {label: [np.tile(clip[:, :DIMS], 2) for clip in clips] for label, clips in SOURCE.items()}
    knn = KNN(neighbours=1, distance="cosine")
    members = Ensemble(members=(knn, knn))
    found = members.scorer([members.fit(twice)])(np.concatenate([X[:, :DIMS], X[::-1, :DIMS]], axis=1))[:, 0]
    alone = nearest_clip(slice(DIMS))
    np.testing.assert_allclose(found, alone + alone[::-1], atol=5e-6)
    different = Ensemble(members=(knn, NearestCentre()))
    learned = different.fit(twice)
    assert {name: len(array) for name, array in learned.items()} == {"0.references": 48, "1.references": 2}


def test_pseudo_targets_are_mixtures_of_each_target_clip_with_sources_from_all_over() -> None:
    backend = PseudoTarget(over=KNN(neighbours=1, distance="cosine"), ratio=0.75, count=3)
    source = backend.fit(SOURCE)
    known = normalize(np.stack([clip.mean(axis=0) for clips in SOURCE.values() for clip in clips]))
    target = normalize(np.stack([clip.mean(axis=0) for clip in TARGET["attribute 0"]]))
    np.testing.assert_allclose(source["references"], known, atol=1e-6)
    mixed = [0.75 * t + 0.25 * known[i] for t in target for i in (0, 24, 47)]  # the middle of 0 to 47 is 23.5
    learned = backend.fit(TARGET, source=source)["references"]
    np.testing.assert_allclose(learned, np.concatenate([target, normalize(mixed)]), atol=1e-6)


def test_pseudo_targets_of_a_mixture_come_from_its_components() -> None:
    over = GMM(components=2)
    backend = PseudoTarget(over=over, ratio=0.5, count=2)
    source = backend.fit(SOURCE)
    target = normalize(np.stack([clip.mean(axis=0) for clip in TARGET["attribute 0"]]))
    mixed = [0.5 * t + 0.5 * mean for t in target for mean in source["means"]]
    rows = np.concatenate([normalize(np.concatenate(TARGET["attribute 0"])), normalize(mixed)])
    np.testing.assert_allclose(backend.fit(TARGET, source=source)["means"][0], rows.mean(axis=0), atol=1e-6)
