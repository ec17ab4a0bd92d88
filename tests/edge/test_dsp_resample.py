"""The resampler against scipy's, with a filter that scipy designed, and against tones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from asd_edge.dsp.resample import PASS_EDGE, REJECTION_DB, Resampler

RATES = [(48_000, 16_000), (44_100, 16_000), (32_000, 16_000), (22_050, 16_000), (192_000, 16_000), (8_000, 16_000)]


def resampled(samples: NDArray[np.floating], in_rate: int, out_rate: int) -> NDArray[np.float32]:
    stage = Resampler(in_rate, out_rate)
    return np.concatenate([stage.push(samples.astype(np.float32)), stage.flush()])


def tone(hertz: float, rate: int, *, seconds: float = 1.0) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def level_db(samples: NDArray[np.float32]) -> float:
    """Level of a tone of amplitude 1 that was resampled, without the ends, where the tone begins and stops."""
    middle = samples[len(samples) // 4 : -len(samples) // 4].astype(np.float64)
    return 10 * math.log10(2 * np.mean(middle**2) + 1e-30)


@pytest.mark.parametrize(("in_rate", "out_rate"), RATES)
def test_equals_scipys_polyphase_with_scipys_kaiser_filter(in_rate: int, out_rate: int) -> None:
    shared = math.gcd(in_rate, out_rate)
    up, down = out_rate // shared, in_rate // shared
    wide = max(up, down)
    taps, beta = signal.kaiserord(REJECTION_DB, (1.0 - PASS_EDGE) / wide)
    # kaiserord's N counts taps; both sides of the centre get the same number.
    taps = 2 * math.ceil((taps - 1) / 2) + 1
    low_pass = signal.firwin(taps, (1.0 + PASS_EDGE) / 2 / wide, window=("kaiser", beta))
    samples = np.random.default_rng(4).standard_normal(in_rate // 2 + 7)
    expected = signal.resample_poly(samples, up, down, window=low_pass)
    # The same filter in single precision: sums of a few hundred products of numbers near 1.
    np.testing.assert_allclose(resampled(samples, in_rate, out_rate), expected, atol=1e-5)


@pytest.mark.parametrize(("in_rate", "out_rate"), RATES)
def test_a_tone_keeps_its_level_and_its_place_in_time(in_rate: int, out_rate: int) -> None:
    found = resampled(tone(1000.0, in_rate), in_rate, out_rate)
    expected = tone(1000.0, out_rate)
    assert len(found) == len(expected)
    inner = slice(out_rate // 10, -out_rate // 10)
    # The ripple of an 80 dB filter is 1e-4; a delay of one sample would differ by 0.4.
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-4)


@pytest.mark.parametrize("hertz", [20.0, 4000.0, 7000.0, 0.915 * 8000])
def test_the_pass_band_is_flat(hertz: float) -> None:
    assert level_db(resampled(tone(hertz, 48_000), 48_000, 16_000)) == pytest.approx(0.0, abs=0.002)


@pytest.mark.parametrize("hertz", [8000.0, 9000.0, 12_345.0, 16_000.0, 23_000.0])
def test_what_would_alias_is_rejected(hertz: float) -> None:
    assert level_db(resampled(tone(hertz, 48_000), 48_000, 16_000)) < -(REJECTION_DB - 2.0)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000, 1001])
def test_n_samples_become_ceil_n_times_the_ratio(count: int) -> None:
    assert len(resampled(np.ones(count), 48_000, 16_000)) == math.ceil(count / 3)


@pytest.mark.parametrize(("in_rate", "out_rate"), [(16_000, 16_000), (48_001, 16_000)])
def test_rates_without_a_sensible_filter_are_refused(in_rate: int, out_rate: int) -> None:
    with pytest.raises(ValueError, match="no filter"):
        Resampler(in_rate, out_rate)
