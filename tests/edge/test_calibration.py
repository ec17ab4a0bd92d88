"""Thresholds from normal scores: the fit, its fallbacks, and the false alarms that follow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gamma

from asd_edge.scoring.calibration import FEW_CLIPS, FEW_SHAPE, GammaFit, calibrate, fit_gamma


def normals(count: int, *, shape: float = 9.0, mean: float = 0.05, seed: int = 0) -> list[float]:
    return list(np.random.default_rng(seed).gamma(shape, mean / shape, count))


def test_quantile_of_a_fit_is_scipys() -> None:
    assert GammaFit(3.0, 0.2).quantile(0.99) == pytest.approx(gamma.ppf(0.99, 3.0, scale=0.2), rel=1e-9)


def test_fit_finds_the_distribution_that_made_the_scores() -> None:
    fitted = fit_gamma(np.array(normals(20_000)))
    assert fitted is not None
    assert fitted.shape == pytest.approx(9.0, rel=0.05)  # 3.5 standard errors of the estimate
    assert fitted.shape * fitted.scale == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize("shape", [0.3, 1.3, 9.0, 200.0])
def test_the_fit_is_the_likeliest_that_scipy_finds(shape: float) -> None:
    scores = np.array(normals(30, shape=shape))
    fitted = fit_gamma(scores)
    assert fitted is not None
    expected_shape, _, expected_scale = gamma.fit(scores, floc=0)
    assert (fitted.shape, fitted.scale) == pytest.approx((expected_shape, expected_scale), rel=1e-6)


def test_new_normals_exceed_the_threshold_as_often_as_asked() -> None:
    threshold = calibrate(normals(2_000), clips=2_000, quantile=0.99).threshold
    share = np.mean(np.array(normals(50_000, seed=1)) > threshold)
    assert 0.004 < share <= 0.012  # the larger of two estimates errs towards fewer false alarms


def test_percentile_holds_where_scores_are_not_gamma_distributed() -> None:
    two_humps = normals(300, mean=0.01) + normals(30, mean=0.5)
    found = calibrate(two_humps, clips=330, quantile=0.95)
    assert found.threshold >= np.quantile(two_humps, 0.95)


def test_equal_scores_have_no_fit_and_still_a_threshold() -> None:
    found = calibrate([0.2] * 50, clips=50, quantile=0.99)
    assert found.gamma is None
    assert found.method == "percentile"
    assert found.threshold == pytest.approx(0.2)


def test_a_few_clips_never_trust_a_fitted_shape() -> None:
    for scores in ([0.0500, 0.0501, 0.0502], [0.001, 0.01, 0.30]):
        found = calibrate(scores, clips=FEW_CLIPS - 1, quantile=0.99)
        assert found.gamma is not None
        assert found.gamma.shape == FEW_SHAPE
        expected = max(gamma.ppf(0.99, FEW_SHAPE, scale=np.mean(scores) / FEW_SHAPE), np.quantile(scores, 0.99))
        assert found.threshold == pytest.approx(expected)


def test_the_enrolled_clips_themselves_raise_no_alarm() -> None:
    assert calibrate([0.001, 0.002, 0.9], clips=3, quantile=0.999).threshold >= 0.89


@pytest.mark.parametrize("scores", [[], [float("nan")], [0.1, float("inf")]])
def test_scores_that_are_none_or_not_finite_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        calibrate(scores, clips=50, quantile=0.99)
