"""Alarms per week by threshold: distributions against scipy's, errors against repetition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gamma, genpareto

from asd_edge.scoring.calibration import GammaRate, ParetoRate
from asd_edge.scoring.calibration.pareto import PRIOR, fit_pareto
from asd_edge.scoring.calibration.rates import RateModel, rate_at, threshold_between

pytestmark = pytest.mark.once

GAMMA = GammaRate(most=25_200.0, shape=3.0, scale=0.03, mean_error=0.2, shape_error=0.4)
PARETO = ParetoRate(most=25_200.0, level=0.1, at_level=800.0, shape=0.2, scale=0.04, clusters=50.0)
EXPONENTIAL = ParetoRate(most=25_200.0, level=0.1, at_level=800.0, shape=0.0, scale=0.04, clusters=50.0)
ENDING = ParetoRate(most=25_200.0, level=0.1, at_level=800.0, shape=-0.2, scale=0.04, clusters=50.0)


def test_rates_are_tails_of_scipys_distributions() -> None:
    assert GAMMA.per_week(0.3) == pytest.approx(25_200.0 * gamma.sf(0.3, 3.0, scale=0.03), rel=1e-9)
    for model in (PARETO, EXPONENTIAL, ENDING):
        expected = 800.0 * genpareto.sf(0.2, model.shape, loc=0.1, scale=0.04)
        assert model.per_week(0.2) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("model", [GAMMA, PARETO, EXPONENTIAL, ENDING])
@pytest.mark.parametrize("budget", [0.1, 1.0, 100.0])
def test_a_budget_gives_the_threshold_that_keeps_it(model: RateModel, budget: float) -> None:
    assert model.per_week(model.threshold_for(budget)) == pytest.approx(budget, rel=1e-6)


@pytest.mark.parametrize("model", [GAMMA, PARETO, EXPONENTIAL, ENDING])
def test_a_higher_threshold_never_promises_more_alarms_and_is_less_sure(model: RateModel) -> None:
    thresholds = np.linspace(0.11, 0.29, 40)
    rates = [rate_at(model, threshold) for threshold in thresholds]
    assert np.all(np.diff([rate.likely for rate in rates]) < 0.0)
    assert np.all(np.diff([rate.high / rate.likely for rate in rates if rate.high < model.most]) > 0.0)
    assert all(rate.low <= rate.likely <= rate.high <= model.most for rate in rates)


@pytest.mark.parametrize("model", [GAMMA, PARETO, EXPONENTIAL, ENDING])
def test_any_threshold_has_a_rate_that_a_week_has_room_for(model: RateModel) -> None:
    for threshold in (-1e9, -1.0, 0.0, 1e-9, 2.0, 1e9):
        rate = rate_at(model, threshold)
        assert 0.0 <= rate.low <= rate.likely <= rate.high <= model.most * (1.0 + 1e-12)


def test_beyond_the_end_of_a_tail_alarms_are_still_possible() -> None:
    rate = rate_at(ENDING, 0.35)
    assert rate.likely == 0.0
    assert rate.high > 0.1


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_the_pareto_fit_finds_what_made_the_excesses(shape: float) -> None:
    n = 5000
    x = genpareto.rvs(shape, scale=0.05, size=n, random_state=1)
    fitted = fit_pareto(x)
    # Smith's standard errors: (1 + ξ) / √n = 0.018 at most, and √(2 (1 + ξ) / n) = 0.023 of the scale; three of them.
    assert fitted.shape * (n + PRIOR) / n == pytest.approx(shape, abs=3 * 0.018)
    assert fitted.scale == pytest.approx(0.05, rel=3 * 0.023)
    likeliest_shape, _, likeliest_scale = genpareto.fit(x, floc=0.0)  # another estimator of the same
    assert fitted.shape == pytest.approx(likeliest_shape, abs=0.01)
    assert fitted.scale == pytest.approx(likeliest_scale, rel=0.01)


def test_tens_of_excesses_are_taken_for_nearly_exponential() -> None:
    x = genpareto.rvs(0.5, scale=1.0, size=(200, PRIOR), random_state=2)
    shapes = np.array([fit_pareto(row).shape for row in x])
    assert 0.1 < shapes.mean() < 0.3  # half of the truth


def test_the_interval_of_a_tail_is_what_repetition_shows() -> None:
    """Smith's covariance holds for many clusters: refit 400 samples of 400, look at what is exceeded ten times."""
    n, level, threshold = 400, 0.1, 0.29
    rng = np.random.default_rng(3)
    rates, thresholds = [], []
    for _ in range(400):
        fitted = fit_pareto(genpareto.rvs(0.1, scale=0.04, size=n, random_state=rng))
        model = ParetoRate(1e9, level, float(rng.poisson(n)), fitted.shape, fitted.scale, n)
        rates.append(model.per_week(threshold))
        thresholds.append(model.threshold_for(10.0))
    truth = ParetoRate(1e9, level, n, 0.1, 0.04, n)
    promised = rate_at(truth, threshold)
    low, high = np.log(np.quantile(rates, [0.05, 0.95]))
    width = np.log(promised.high / promised.low)
    assert high - low == pytest.approx(width, rel=0.2)  # quantiles of 400: 5 % of the width each
    assert low == pytest.approx(np.log(promised.low), abs=0.15 * width)
    assert high == pytest.approx(np.log(promised.high), abs=0.15 * width)
    np.testing.assert_allclose(np.quantile(thresholds, [0.05, 0.95]), threshold_between(truth, 10.0), rtol=0.03)
