"""Metrics against hand-computed cases and the formulas they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_train.metrics import alarm_rate, auc, f1, harmonic_mean, pauc


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


def test_a_side_without_clips_has_no_value() -> None:
    assert math.isnan(auc([], [1.0]))
    assert math.isnan(pauc([1.0], []))
    assert math.isnan(alarm_rate([]))
    assert math.isnan(f1([True], []))
    assert math.isnan(f1([], [True]))


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
