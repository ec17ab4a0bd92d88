"""Metrics against hand-computed cases and the formulas they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from asd_train.evaluation.metrics import (
    alarm_rate,
    alarms_per_hour,
    arithmetic_mean,
    auc,
    f1,
    harmonic_mean,
    pauc,
    pauc_eq3,
    precision,
)


def roc_area(normals: NDArray[np.float64], anomalies: NDArray[np.float64], limit: float) -> float:
    """Area under the interpolated ROC up to a false positive rate, point by point."""
    thresholds = np.sort(np.concatenate([normals, anomalies]))[::-1]
    fpr = np.array([0.0] + [float(np.mean(normals >= t)) for t in thresholds])
    tpr = np.array([0.0] + [float(np.mean(anomalies >= t)) for t in thresholds])
    grid = np.concatenate([fpr[fpr < limit], [limit]])
    values = np.concatenate([tpr[fpr < limit], [np.interp(limit, fpr, tpr)]])
    return float(np.sum(np.diff(grid) * (values[1:] + values[:-1]) / 2))


def test_auc_counts_pairs() -> None:
    # 6 pairs; the anomaly 0.5 beats 0.1 and 0.4, ties with 0.5 (one half); 0.9 beats all three: 5.5 of 6
    assert auc([0.1, 0.4, 0.5], [0.5, 0.9]) == pytest.approx(5.5 / 6)


def test_pauc_of_chance_perfection_and_the_worst_case() -> None:
    many = list(np.linspace(0, 1, 2001))
    assert pauc(many, many) == pytest.approx(0.5, abs=1e-3)
    assert pauc([0.0, 0.1], [0.5, 0.6]) == pytest.approx(1.0)
    # ½ · (1 − (p²/2) / (p − p²/2)) with p = 0.1: the exact minimum of the McClish scale
    assert pauc(many, [-1.0]) == pytest.approx(0.4737, abs=5e-5)


def test_pauc_is_the_mcclish_formula_over_the_interpolated_roc() -> None:
    generator = np.random.default_rng(4)
    normals, anomalies = generator.normal(0, 1, 57), generator.normal(1, 1, 43)
    p = 0.1
    area = roc_area(normals, anomalies, p)
    expected = 0.5 * (1 + (area - p**2 / 2) / (p - p**2 / 2))
    assert pauc(list(normals), list(anomalies)) == pytest.approx(expected, abs=1e-9)


def test_pauc_eq3_counts_pairs_with_the_tenth_of_the_normals_that_score_highest() -> None:
    normals = [*range(19), 25.0, 22.0]  # 21 normals: two of them, 25 and 22, are the tenth
    # of 2 × 4 pairs: 30 beats both, 23 beats 22, 22 ties with it and counts 0, 1 beats none
    assert pauc_eq3(normals, [30.0, 23.0, 22.0, 1.0]) == pytest.approx(3 / 8)
    assert pauc_eq3(normals, [30.0]) == 1.0
    assert math.isnan(pauc_eq3([0.0] * 9, [1.0]))  # no tenth to look at


def test_pauc_eq3_of_chance_is_half_of_p() -> None:
    many = np.linspace(0, 1, 2000)
    assert pauc_eq3(list(many), list(many + 1e-9)) == pytest.approx(0.05, abs=1e-3)


def test_areas_are_those_of_scikit_learn_also_with_ties() -> None:
    generator = np.random.default_rng(8)
    normals, anomalies = generator.integers(0, 12, 80).tolist(), generator.integers(4, 16, 60).tolist()
    truth, scores = [0] * 80 + [1] * 60, normals + anomalies
    assert auc(normals, anomalies) == pytest.approx(roc_auc_score(truth, scores))
    assert pauc(normals, anomalies) == pytest.approx(roc_auc_score(truth, scores, max_fpr=0.1))


def test_figures_at_the_threshold_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(9)
    normals, anomalies = (generator.random(70) > 0.8).tolist(), (generator.random(50) > 0.4).tolist()
    truth, alarms = [0] * 70 + [1] * 50, normals + anomalies
    assert precision(normals, anomalies) == pytest.approx(precision_score(truth, alarms))
    assert alarm_rate(anomalies) == pytest.approx(recall_score(truth, alarms))
    assert f1(normals, anomalies) == pytest.approx(f1_score(truth, alarms))
    assert precision([False], [False]) == precision_score([0, 1], [0, 0], zero_division=0.0)


def test_alarms_an_hour_are_counted_over_the_sound_of_all_clips() -> None:
    assert alarms_per_hour([0, 2, 1, 0], [10.0, 20.0, 10.0, 5.0]) == pytest.approx(3 / 45 * 3600)
    assert math.isnan(alarms_per_hour([], []))


def test_a_side_without_clips_has_no_value() -> None:
    assert math.isnan(auc([], [1.0]))
    assert math.isnan(pauc([1.0], []))
    assert math.isnan(alarm_rate([]))
    assert math.isnan(f1([True], []))
    assert math.isnan(f1([], [True]))
    assert math.isnan(precision([True], []))
    assert math.isnan(pauc_eq3([1.0] * 10, []))


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    normals, anomalies = [True, False, False], [True, True, False, False, False]
    precision, recall = 2 / 3, alarm_rate(anomalies)
    assert recall == pytest.approx(2 / 5)
    assert f1(normals, anomalies) == pytest.approx(harmonic_mean([precision, recall]))
    assert f1([False], [False]) == 0.0


def test_harmonic_mean_skips_what_is_not_known() -> None:
    assert harmonic_mean([0.5, 1.0, float("nan")]) == pytest.approx(2 / 3)
    assert harmonic_mean([0.5, 0.0]) == 0.0
    assert math.isnan(harmonic_mean([]))


def test_arithmetic_mean_skips_what_is_not_known() -> None:
    assert arithmetic_mean([1.0, float("nan"), 4.0]) == 2.5
    assert math.isnan(arithmetic_mean([float("nan")]))
