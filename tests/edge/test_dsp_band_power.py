"""Power of frames by Parseval: against physics and against the samples themselves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.dsp.band_power import high_pass_gain, parseval_weights
from asd_edge.dsp.front_end import Frames, FrontEnd, FrontEndSpec
from asd_edge.dsp.spectrum import periodic_hann

RATE = 16_000


def heard(samples: NDArray[np.float64]) -> Frames:
    return FrontEnd(FrontEndSpec()).push(samples.astype(np.float32))


def tone(hertz: float, *, seconds: float = 1.0) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE + 0.3)


@pytest.mark.parametrize("deviation", [0.001, 0.3])
def test_white_noise_of_variance_s2_has_power_s2_and_its_share_above_the_cut_off(deviation: float) -> None:
    frames = heard(deviation * np.random.default_rng(1).standard_normal(60 * RATE))
    # 60 s hold 960 000 independent samples: the mean square deviates by sqrt(2 / 960 000) = 0.14 %, and by a
    # little more for frames that weigh samples unequally; four such deviations make 1 %.
    assert np.mean(frames.power, dtype=np.float64) == pytest.approx(deviation**2, rel=0.01)
    # Half the power in the transition band passes: (8000 − 3750) Hz of 8000 Hz.
    share = (8000 - 3750) / 8000
    assert np.mean(frames.high_power, dtype=np.float64) == pytest.approx(share * deviation**2, rel=0.015)


def test_power_is_the_weighted_mean_square_of_the_frames_samples() -> None:
    """Parseval's theorem for every single frame, with nothing left to chance."""
    generator = np.random.default_rng(2)
    time = np.arange(8192) / RATE
    tones = [generator.normal() * np.sin(2 * np.pi * f * time + f) for f in generator.uniform(500.0, 7500.0, 40)]
    samples = np.sum(tones, axis=0)  # nothing near 0 Hz, which the power leaves out
    weights = np.square(periodic_hann(1024), dtype=np.float64)
    expected = [np.sum(weights * samples[t * 512 : t * 512 + 1024] ** 2) / np.sum(weights) for t in range(15)]
    np.testing.assert_allclose(heard(samples).power, expected, rtol=2e-6)  # float32 sums over 513 bins


def test_a_microphones_offset_is_no_sound() -> None:
    sound = 0.01 * np.random.default_rng(4).standard_normal(RATE)
    np.testing.assert_allclose(heard(sound + 0.2).power, heard(sound).power, rtol=1e-3)
    assert np.all(heard(np.full(RATE, 0.2)).power < 1e-9)


@pytest.mark.parametrize("window", [1024, 63])
def test_parseval_holds_for_even_and_odd_windows_in_double_precision(window: int) -> None:
    frame = np.random.default_rng(3).standard_normal(window)
    hann = periodic_hann(window)
    spectrum = np.abs(np.fft.rfft(hann * frame)) ** 2
    expected = np.sum((hann * frame) ** 2) / np.sum(np.square(hann, dtype=np.float64))
    assert spectrum @ parseval_weights(hann) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("hertz", [100.0, 1000.0, 3000.0, 3400.0])
def test_a_tone_below_the_cut_off_vanishes(hertz: float) -> None:
    frames = heard(tone(hertz))
    np.testing.assert_allclose(frames.power, 0.5, rtol=1e-4)
    # What is left of the tone above 3500 Hz are side lobes of the Hann window, which fall with the third power of
    # the distance: 100 Hz are 6.4 bins, where they hold a few millionths of the power.
    assert np.all(frames.high_power < 1e-5 * frames.power)


@pytest.mark.parametrize("hertz", [4100.0, 5000.0, 7900.0])
def test_a_tone_above_the_cut_off_survives(hertz: float) -> None:
    frames = heard(tone(hertz))
    np.testing.assert_allclose(frames.high_power, frames.power, rtol=1e-4)
    np.testing.assert_allclose(frames.power, 0.5, rtol=1e-4)


def test_half_the_power_passes_in_the_middle_of_the_transition() -> None:
    frames = heard(tone(3750.0))
    # The gain is odd about the middle, and so are the two halves of the tone's line: what one gains the other loses.
    np.testing.assert_allclose(frames.high_power, 0.5 * frames.power, rtol=1e-3)


def test_a_tone_that_glides_over_the_cut_off_never_jumps() -> None:
    time = np.arange(4 * RATE) / RATE
    frames = heard(np.sin(2 * np.pi * (3000.0 * time + 0.5 * 400.0 * time**2)))  # 3000 to 4600 Hz, 12.8 Hz a hop
    share = frames.high_power / frames.power
    # The steepest slope of the gain is π/2 over 500 Hz: 0.040 a hop.
    assert np.max(np.abs(np.diff(share))) < 0.045
    assert share[0] < 1e-4
    assert share[-1] > 0.9999


def test_gain_is_nothing_below_everything_above_and_rises_between() -> None:
    gain = high_pass_gain(sample_rate=RATE, window=1024, stop_hz=3500.0, pass_hz=4000.0)
    hertz = np.arange(513) * RATE / 1024
    assert np.all(gain[hertz <= 3500.0] == 0.0)
    assert np.all(gain[hertz >= 4000.0] == 1.0)
    assert np.all(np.diff(gain[(hertz > 3500.0) & (hertz < 4000.0)]) > 0.0)
    # A quarter of the way up a raised cosine: sin²(π/8).
    assert gain[hertz == 3625.0] == pytest.approx(np.sin(np.pi / 8) ** 2)
