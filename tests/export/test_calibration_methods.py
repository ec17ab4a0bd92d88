"""The bounds that the benchmark of calibration compares with the largest values seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bench.calibration import Seen


def seen(values: NDArray[np.float64]) -> Seen:
    largest = float(np.abs(values).max())
    return Seen(float(values.min()), float(values.max()), np.histogram(np.abs(values), 2048, (0.0, largest))[0])


def test_a_percentile_is_numpys() -> None:
    values = np.random.default_rng(0).standard_normal(100_000)
    low, high = seen(values).range("percentile")
    expected = np.quantile(np.abs(values), 0.9999)
    assert (high, -low) == (pytest.approx(expected, rel=2e-3), pytest.approx(expected, rel=2e-3))


def test_entropy_clips_long_tails_and_keeps_what_fills_its_range() -> None:
    random = np.random.default_rng(0)
    tailed = np.concatenate((random.standard_normal(100_000), [60.0]))
    assert 2.5 < seen(tailed).range("entropy")[1] < 30.0
    flat = random.uniform(-1.0, 1.0, 100_000)
    assert seen(flat).range("entropy")[1] > 0.95
    assert seen(np.where(random.random(100_000) < 0.9, 0.0, np.abs(flat))).range("entropy")[1] > 0.95
