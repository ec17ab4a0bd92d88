"""The metric of mean spectra against its formula, written out with explicit inverses and scikit-learn's covariance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.covariance import OAS

from asd_edge.scoring.backends.shrinkage import LEAST_VARIANCE, oracle_approximating, shrunk_covariance
from asd_edge.scoring.backends.spectral_shift import SpectralShift, shifts
from asd_edge.strict import RefusalError

BANDS = 40
Clips = dict[str, list[NDArray[np.float32]]]


def clips(*, count: int = 9, peak: float = 15.0, seed: int = 0) -> Clips:
    """Two labels: a line over a floor, a background that drifts smoothly, and noise; two segments a clip."""
    rng, place = np.random.default_rng(seed), np.arange(1, BANDS + 1)
    return {
        label: [
            (
                -40.0
                + peak * np.exp(-0.5 * ((place - line) / 1.5) ** 2)
                + rng.normal(0.0, 2.0) * np.cos(place / BANDS)
                + rng.normal(0.0, 0.3, (2, BANDS))
            ).astype(np.float32)
            for _ in range(count)
        ]
        for label, line in (("slow", 12), ("fast", 16))
    }


def covariance(rows: NDArray[np.float64], *, labels: int) -> NDArray[np.float64]:
    """W by its definition, 16 clips being what the mean of all variances is worth."""
    n, bands = rows.shape
    rows = rows * np.sqrt(n / (n - labels))
    variances = (n * rows.var(axis=0) + 16 * rows.var(axis=0).mean()) / (n + 16)
    d = np.diag(np.sqrt(variances + 0.01))
    return d @ OAS(assume_centered=True).fit(rows @ np.linalg.inv(d)).covariance_ @ d + 0.01 * np.eye(bands)


def means(sound: Clips) -> dict[str, NDArray[np.float64]]:
    return {label: np.array([clip.mean(axis=0) for clip in members], np.float64) for label, members in sound.items()}


@pytest.mark.parametrize(("rows", "bands"), [(5, 30), (60, 30), (400, 8)])
def test_covariance_is_scikit_learns(rows: int, bands: int) -> None:
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, bands)) @ rng.standard_normal((bands, bands))
    expected = OAS(assume_centered=True).fit(x).covariance_
    np.testing.assert_allclose(oracle_approximating(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rows", [np.zeros((3, 4)), np.ones((1, 4))])
def test_covariance_of_too_little_can_be_inverted(rows: NDArray[np.float64]) -> None:
    assert np.linalg.eigvalsh(shrunk_covariance(rows)).min() >= 0.9 * LEAST_VARIANCE


def test_two_clips_are_shrunk_although_they_look_certain_of_one_direction() -> None:
    rows = np.random.default_rng(0).standard_normal(30)
    eigenvalues = np.linalg.eigvalsh(shrunk_covariance(np.stack([rows, -rows])))
    assert eigenvalues[-1] / eigenvalues[0] < 30.0  # without shrinkage 3000


def test_a_faster_copy_has_at_f_what_the_original_has_at_f_over_the_factor() -> None:
    ramp = 3.0 * np.arange(1.0, 11.0)  # c(f) = 3 f, so that c(f / a) − c(f) = 3 f (1 / a − 1), where f / a is a band
    found = shifts(ramp, np.array([0.8, 1.25]))
    place = np.arange(1, 11)
    np.testing.assert_allclose(found[0], np.where(place / 0.8 <= 10, 3.0 * place * 0.25, 0.0), atol=1e-12)
    np.testing.assert_allclose(found[1], np.where(place / 1.25 >= 1, 3.0 * place * -0.2, 0.0), atol=1e-12)


def test_distance_is_the_formula() -> None:
    """d² = (x − r)ᵀ W⁻¹ (W + n B / tr(W⁻¹ B)) W⁻¹ (x − r)."""
    sound = clips()
    each = means(sound)
    within = np.concatenate([spectra - spectra.mean(axis=0) for spectra in each.values()])
    w = covariance(within, labels=2)
    factors = [2.0 ** (sign * step / 8) for step in range(1, 9) for sign in (1, -1)]
    moved = np.concatenate([shifts(spectra.mean(axis=0), np.array(factors)) for spectra in each.values()])
    b, inverse = moved.T @ moved / len(moved), np.linalg.inv(w)
    a = w + BANDS * b / np.trace(inverse @ b)
    x = np.random.default_rng(1).normal(-40.0, 3.0, (6, BANDS)).astype(np.float32)
    away = x[:, None] - np.concatenate(list(each.values())).astype(np.float32)  # [segments, references, bands]
    squared = np.einsum("srb,bc,src->sr", away, inverse @ a @ inverse, away)
    backend = SpectralShift()
    found = backend.scorer([backend.fit(sound)])(x)[:, 0]
    np.testing.assert_allclose(found, np.sqrt(squared.min(axis=1)), rtol=1e-4)  # the metric is kept in float32


def test_a_moved_line_counts_for_more_than_as_unusual_a_change_that_moves_nothing() -> None:
    sound = clips()
    lines, flat = SpectralShift(), clips(peak=0.0)
    fitted, without_lines = lines.fit(sound), lines.fit(flat)
    normal = np.array(means(sound)["slow"].mean(axis=0))
    moved = normal + shifts(normal, np.array([1.1]))[0]
    far_away = normal.copy()
    far_away[30:36] += 4.0  # where this machine has no line
    x = np.stack([moved, far_away]).astype(np.float32)
    with_lines = lines.scorer([fitted])(x)[:, 0]
    blind = lines.scorer([without_lines])(x - normal.astype(np.float32) - 40.0)[:, 0]
    assert with_lines[0] / with_lines[1] > 1.5 * blind[0] / blind[1]


def test_sound_that_never_varies_and_a_flat_spectrum_have_a_metric() -> None:
    fitted = SpectralShift().fit({"same": [np.full((1, 5), -30.0, np.float32)] * 3})
    np.testing.assert_allclose(fitted["metric"], np.diag(np.diag(fitted["metric"])), atol=1e-3)
    assert np.isfinite(fitted["metric"]).all()


def test_a_condition_of_few_clips_takes_the_sources_metric_and_has_references_of_its_own() -> None:
    backend, sound = SpectralShift(), clips()
    source = backend.fit(sound)
    few = backend.fit({"hot": clips(count=2, seed=5)["slow"]}, source=source)
    np.testing.assert_array_equal(few["metric"], source["metric"])
    assert few["references"].shape == (2, BANDS)
    other = backend.fit(clips(seed=9))  # another metric among the conditions
    x = np.random.default_rng(2).normal(-40.0, 3.0, (4, BANDS)).astype(np.float32)
    together = backend.scorer([few, other, source])(x)
    alone = np.concatenate([backend.scorer([fitted])(x) for fitted in (few, other, source)], axis=1)
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_clips_that_are_alone_under_their_labels_tell_together_how_sound_varies() -> None:
    """d² ≥ (x − r)ᵀ W⁻¹ (x − r), for A is W and more; with a W of nothing it would be ten times that and more."""
    sound = clips(count=3)
    alone = {f"{label} {i}": [clip] for label, members in sound.items() for i, clip in enumerate(members)}
    every = np.concatenate(list(means(sound).values()))
    w = covariance(every - every.mean(axis=0), labels=1)
    x = np.random.default_rng(2).normal(-40.0, 3.0, (4, BANDS)).astype(np.float32)
    away = x[:, None] - every
    least = np.sqrt(np.einsum("srb,bc,src->sr", away, np.linalg.inv(w), away).min(axis=1))
    backend = SpectralShift()
    ratio = backend.scorer([backend.fit(alone)])(x)[:, 0] / least
    assert (ratio > 0.999).all()
    assert (ratio < 10.0).all()


def test_arrays_that_fit_never_returns_are_refused() -> None:
    backend = SpectralShift()
    fitted = dict(backend.fit(clips()))
    backend.check(fitted, BANDS)
    blind = fitted["metric"].copy()
    blind[:, 3] = 0.0
    for wrong in ({"metric": blind}, {"metric": fitted["metric"][:, 1:]}, {"references": fitted["references"][:0]}):
        with pytest.raises(RefusalError):
            backend.check(fitted | wrong, BANDS)
