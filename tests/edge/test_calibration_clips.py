"""A budget of false alarms from a few clips: what counts, what is assumed, how sure it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import gamma

from asd_edge.bundle import calibration as documents
from asd_edge.scoring.calibration import Calibration, ParetoRate, Spread, calibrate, calibrate_clips
from asd_edge.scoring.calibration.clips import PRIOR_CLIPS

THREE = [[0.02, 0.03], [0.05, 0.04], [0.03, 0.03]]


def made(scores: list[list[float]], budget: float = 1.0, prior: Spread | None = None) -> Calibration:
    return calibrate_clips(scores, alarms_per_week=budget, every_s=1.024, prior=prior)


def test_more_windows_of_the_same_clips_say_nothing_new() -> None:
    repeated = [[0.03], [0.05] * 50, [0.02]]
    assert made(repeated).threshold == pytest.approx(made([[0.03], [0.05], [0.02]]).threshold, rel=1e-9)


def test_a_few_clips_lean_on_the_prior_and_many_on_themselves() -> None:
    """c² = (d0 c0² + d c_n²) / (d0 + d) and (1 + 1/n) c² in numbers."""
    clips = np.random.default_rng(0).gamma(16.0, 0.05 / 16.0, 400)
    for n in (3, 10, 400):
        of_clips = clips[:n].var(ddof=1) / clips[:n].mean() ** 2
        moderated = (PRIOR_CLIPS / 4.0 + (n - 1) * of_clips) / (PRIOR_CLIPS + n - 1)
        rate = made([[score] for score in clips[:n]]).rate
        assert rate is not None
        assert 1.0 / rate.shape == pytest.approx(moderated * (1.0 + 1.0 / n), rel=1e-9)
    assert rate.shape == pytest.approx(16.0, rel=0.25)


def test_a_machine_that_the_factory_knows_to_scatter_gets_a_higher_threshold() -> None:
    assert (
        made(THREE, prior=Spread(1.5)).threshold
        > 1.3 * made(THREE).threshold
        > 1.3 * made(THREE, prior=Spread(9.0)).threshold
    )


def test_a_larger_budget_lowers_the_threshold_and_the_same_fit_answers_it() -> None:
    once = made(THREE)
    assert made(THREE, 100.0).threshold == pytest.approx(once.threshold_for(100.0), rel=1e-9)
    assert once.threshold_for(100.0) < once.threshold
    with pytest.raises(ValueError, match="budget"):
        once.threshold_for(0.0)


def test_the_enrolled_clips_themselves_raise_no_alarm() -> None:
    held = [[0.02] * 40, [0.02] * 40, [0.02] * 10 + [0.9] * 30]
    assert made(held, 20_000.0).threshold >= 0.9
    bang = [[0.02] * 40, [0.02] * 40, [0.02] * 30 + [0.9] * 8 + [0.02] * 10]  # shorter than the on-delay
    assert made(bang, 20_000.0).threshold < 0.1


def test_one_clip_is_taken_and_said_to_be_hardly_sure() -> None:
    one, three = made([[0.01, 0.01]]), made([[0.03], [0.03], [0.03]])
    assert one.clips == 1
    assert one.threshold > three.threshold
    assert one.expected is not None
    assert one.expected.high > 1000.0 * one.expected.likely
    assert made([[0.01]], prior=Spread(4.0, mean=0.1)).threshold == pytest.approx(
        made([[0.1 / 3.0]]).threshold, rel=1e-9
    )  # the factory knows that other occasions are further away


@pytest.mark.parametrize("clips", [3, 8])
def test_nine_of_ten_intervals_hold_the_rate_where_the_assumptions_hold(clips: int) -> None:
    """Conditions scatter as the prior says: c² is a scaled inverse chi-square variable around its value."""
    rng = np.random.default_rng(1)
    above = below = 0
    rates = []
    for _ in range(400):
        shape = 4.0 * rng.chisquare(PRIOR_CLIPS) / PRIOR_CLIPS
        found = made([[score] for score in rng.gamma(shape, 0.05 / shape, clips)])
        true = 25_200.0 * float(gamma.sf(found.threshold, shape, scale=0.05 / shape))
        assert found.expected is not None
        above += true > found.expected.high
        below += true < found.expected.low
        rates.append(true)
    assert above < 0.09 * 400  # 5 % and three standard errors
    assert below < 0.12 * 400  # shapes are no normal variables: 8 % for three clips
    assert 0.05 < np.median(rates) < 1.5  # the budget; the error of three clips' mean costs sensitivity, not alarms


def test_a_calibration_survives_its_document() -> None:
    found = made(THREE)
    document = documents.Calibration.of(found)
    assert document.expected is not None
    again = documents.Calibration.model_validate_json(document.model_dump_json()).value(found.threshold)
    assert again == found
    assert found.set_by_hand(0.4).expected == found.alarms_per_week_at(0.4)


def test_a_budget_after_a_threshold_by_hand_is_that_of_the_calibration() -> None:
    loud = made([[0.02] * 40, [0.02] * 40, [0.9] * 40], 20_000.0)
    for found in (made(THREE), loud):
        by_hand = replace(found, heard=3).set_by_hand(0.4)
        assert (by_hand.method, by_hand.alarms_per_week, by_hand.heard) == ("manual", None, None)
        assert found.alarms_per_week is not None
        assert by_hand.for_budget(found.alarms_per_week) == found
    assert loud.for_budget(25_000.0).threshold == 0.9  # which the clips held


def test_a_budget_is_found_by_what_the_rate_comes_from() -> None:
    factory = calibrate(np.random.default_rng(0).gamma(4.0, 0.01, 100).tolist(), clips=30, quantile=0.9)
    tail = replace(made(THREE), rate=ParetoRate(20_000.0, 0.1, 300.0, 0.0, 0.02, 60.0), method="manual", heard=2)
    assert (factory.for_budget(1.0).method, tail.for_budget(1.0).method) == ("gamma", "tail")
    assert replace(factory, heard=2).for_budget(1.0).heard is None


def test_scores_without_a_spread_promise_no_budget() -> None:
    flat = calibrate([0.0] * 30, clips=30, quantile=0.99)
    assert flat.rate is None
    with pytest.raises(ValueError, match="spread"):
        flat.for_budget(1.0)


@pytest.mark.parametrize("scores", [[], [[]], [[float("nan")]], [[0.1], [float("inf")]]])
def test_scores_that_are_none_or_not_finite_are_refused(scores: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="finite"):
        made(scores)
