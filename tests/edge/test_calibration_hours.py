"""A budget of false alarms from hours of sound: kept on sound of the same kind, with an interval that holds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.signal import lfilter

from asd_edge.bundle import calibration as documents
from asd_edge.bundle.archive import load_bundle
from asd_edge.scoring.calibration import Trace, alarms_at, calibrate_hours
from asd_edge.scoring.calibration.hours import ENOUGH_CLUSTERS, FEWEST_CLUSTERS, dispersion
from asd_edge.scoring.decision import DecisionSpec

pytestmark = pytest.mark.once

STEP_S = 1.024
DECISION = DecisionSpec()


def trace(hours: float, *, seed: int) -> Trace:
    """Log-normal scores that forget in 25 s, averaged over seven segments as windows are."""
    n = round(hours * 3600.0 / STEP_S)
    keep = np.exp(-STEP_S / 25.0)
    kicks = np.random.default_rng(seed).standard_normal(n) * np.sqrt(1.0 - keep**2)
    slow = np.convolve(lfilter([1.0], [1.0, -keep], kicks), np.ones(7) / 7.0, "same")
    return Trace(STEP_S * np.arange(n), np.minimum(0.05 * np.exp(0.7 * slow), 2.0), STEP_S)


@cache
def long() -> Trace:
    return trace(200.0, seed=0)


def measured(threshold: float) -> float:
    """Alarms per week in 200 hours."""
    return len(alarms_at(long(), threshold, DECISION)) * 168.0 / 200.0


def test_the_budget_is_kept_where_the_hours_hold_some_alarms_and_beyond() -> None:
    """Ten calibrations of six hours; budgets of 3 an hour and of 0.3, which is less than two in them."""
    for budget, factor in ((504.0, 2.0), (50.0, 5.0)):
        ratios, inside = [], 0
        for seed in range(1, 11):
            found = calibrate_hours(trace(6.0, seed=seed), alarms_per_week=budget)
            assert found.method == "tail"
            assert found.clips >= ENOUGH_CLUSTERS
            rate, expected = measured(found.threshold), found.expected
            assert expected is not None
            assert expected.likely == pytest.approx(budget)
            ratios.append(rate / budget)
            inside += expected.low <= rate <= expected.high
        assert 1.0 / factor < min(ratios) <= max(ratios) < factor
        assert 0.6 < np.median(ratios) < 1.7
        assert inside >= 7  # nine are expected; fewer than seven have a probability of 1.3 %


def test_the_fit_agrees_with_the_alarms_of_the_very_sound() -> None:
    found = calibrate_hours(trace(20.0, seed=20), alarms_per_week=504.0)
    assert found.heard is not None
    assert found.heard == pytest.approx(60, abs=3 * np.sqrt(60))  # a Poisson count
    assert found.agrees
    assert not replace(found, heard=140).agrees
    assert not replace(found, heard=15).agrees


def test_a_few_minutes_tell_no_tail() -> None:
    short = calibrate_hours(trace(0.2, seed=30), alarms_per_week=1.0)
    assert short.method == "gamma"
    assert short.clips < FEWEST_CLUSTERS
    assert short.heard == 0
    assert short.expected is not None
    assert short.expected.high > 30.0 * short.expected.likely


def test_gaps_and_idle_windows_are_no_sound() -> None:
    whole = trace(8.0, seed=40)
    scores = whole.scores.copy()
    scores[1000:2000] = np.nan
    times = whole.times + np.where(np.arange(len(scores)) >= 20_000, 5e4, 0.0)
    found = calibrate_hours(Trace(times, scores, STEP_S), alarms_per_week=504.0)
    assert found.hours == pytest.approx(8.0 - 1000 * STEP_S / 3600.0, rel=1e-3)
    assert found.threshold == pytest.approx(calibrate_hours(whole, alarms_per_week=504.0).threshold, rel=0.1)


def test_hours_are_those_of_the_condition_when_conditions_alternate() -> None:
    heard = trace(8.0, seed=41)
    half = np.arange(len(heard.scores)) // 60 % 2 == 0  # a minute of each
    own = Trace(heard.times, np.where(half, heard.scores, -np.inf), STEP_S)
    found = calibrate_hours(own, alarms_per_week=504.0)
    assert (found.method, found.hours) == ("tail", pytest.approx(4.0, rel=0.01))
    assert found.mean == pytest.approx(heard.scores[half].mean())
    # A run that begins in another condition's minute is cut short: somewhat fewer alarms, not twice as many hours.
    assert found.threshold == pytest.approx(calibrate_hours(heard, alarms_per_week=504.0).threshold, rel=0.2)
    every_second = Trace(heard.times, np.where(np.arange(len(half)) % 2, heard.scores, -np.inf), STEP_S)
    found = calibrate_hours(every_second, alarms_per_week=1.0)
    assert (found.method, found.heard, found.hours) == ("gamma", 0, pytest.approx(4.0, rel=0.01))


def test_alarms_that_crowd_in_some_hours_make_the_interval_wider() -> None:
    calm, wild = trace(8.0, seed=50), trace(8.0, seed=51)
    shift = np.where(np.arange(len(wild.scores)) * STEP_S % 14_400.0 < 3600.0, 2.0, 0.8)
    crowded = Trace(wild.times, wild.scores * shift, STEP_S)
    assert dispersion(crowded, alarms_at(crowded, 0.12, DECISION)) > 3.0
    even, uneven = (calibrate_hours(heard, alarms_per_week=100.0).expected for heard in (calm, crowded))
    assert even is not None
    assert uneven is not None
    assert uneven.high / uneven.low > 1.5 * even.high / even.low


def test_a_tail_survives_its_document() -> None:
    found = calibrate_hours(trace(3.0, seed=60), alarms_per_week=300.0)
    document = documents.Calibration.model_validate_json(documents.Calibration.of(found).model_dump_json())
    assert document.value(found.threshold) == found


def test_the_factory_answers_for_budgets_too_and_is_not_sure() -> None:
    for machine in load_bundle("default").machines:
        condition = machine.conditions[0]
        known = condition.calibration.value(condition.threshold)
        assert known.threshold == condition.threshold
        assert known.expected is not None
        assert known.expected.high > 3.0 * known.expected.low > 0.0
        assert known.threshold_for(1.0) > known.threshold_for(100.0) > 0.0


@pytest.mark.parametrize("scores", [[], [0.1], [0.1, float("inf"), 0.2], [float("nan")] * 5])
def test_too_few_scores_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        calibrate_hours(Trace(np.arange(float(len(scores))), np.array(scores), 1.0), alarms_per_week=1.0)
