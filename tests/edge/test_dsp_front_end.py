"""The front end against librosa's golden values, against formulas, and against itself frame by frame."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.dsp.mel import MelScale, hz_to_mel, mel_to_hz
from asd_edge.dsp.spectrum import PowerSpectrum, periodic_hann

GOLDEN = Path(__file__).parents[1] / "golden" / "front_end_golden.npz"

# An FFT in double precision, rounded to single, leaves in every bin an error of up to 1.3e-7 of the frame's largest
# |X| (measured here). In single precision it is 2.4e-7 in the worst bin; a mel band gathers bins and stays below.
FFT_ERROR = 2e-7
SINGLE_FFT_ERROR = 4e-7
ROUNDING_DB = 2e-5  # of a float32 logarithm near 100 dB, 7.6e-6, and of the matrix product, 3.8e-6


@pytest.fixture(scope="module")
def golden() -> Mapping[str, NDArray[np.float32]]:
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


def sound_of(golden: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    return golden["samples"].astype(np.float32) / np.float32(32_768)


def noise(count: int, *, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def test_magnitude_equals_librosa(golden: Mapping[str, NDArray[np.float32]]) -> None:
    found = FrontEnd(FrontEndSpec(feature="magnitude")).push(sound_of(golden)).features
    expected = golden["magnitude"]
    assert found.shape == expected.shape
    assert np.all(np.abs(found - expected) <= FFT_ERROR * expected.max(axis=1, keepdims=True))


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_log_mel_equals_librosa(golden: Mapping[str, NDArray[np.float32]], scale: MelScale) -> None:
    found = FrontEnd(FrontEndSpec(mel_scale=scale)).push(sound_of(golden)).features
    expected, mel, magnitude = golden[f"log_mel_{scale}"], golden[f"mel_{scale}"], golden["magnitude"]
    # The FFT's error weighs more where a band is faint beside the frame's loudest bin, r times in amplitude:
    # it is 20·log10(1 + error·r) dB there. This signal reaches r = 12 000 (0.02 dB), in the sweep.
    band = np.sqrt(np.square(magnitude) @ mel / np.maximum(mel.sum(axis=0), 1e-30))  # rms |X|  [frames, mels]
    loudest = magnitude.max(axis=1, keepdims=True)
    ratio = np.divide(loudest, band, out=np.zeros_like(band), where=expected > -99.9)
    assert np.all(np.abs(found - expected) <= ROUNDING_DB + 20 * np.log10(1 + FFT_ERROR * ratio))


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_golden_signal_holds_both_silence_at_the_floor_and_loud_bands(
    golden: Mapping[str, NDArray[np.float32]], scale: str
) -> None:
    values = golden[f"log_mel_{scale}"]
    assert np.all(values[0] == pytest.approx(-100.0))
    assert values.max() > 10.0


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_matrix_equals_librosa(golden: Mapping[str, NDArray[np.float32]], scale: MelScale) -> None:
    np.testing.assert_allclose(FrontEndSpec(mel_scale=scale).mel(), golden[f"mel_{scale}"], rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_scale_and_its_inverse_agree_and_meet_known_points(scale: MelScale) -> None:
    hertz = np.linspace(0.0, 8000.0, 801)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hertz, scale), scale), hertz, atol=1e-8)
    # By definition 1000 Hz are 1000 mels (HTK, to its rounded constants) or 15 mels (Slaney).
    assert hz_to_mel(np.array([1000.0]), scale)[0] == pytest.approx(1000.0 if scale == "htk" else 15.0, abs=0.02)


@pytest.mark.parametrize("single", [False, True])
def test_spectra_of_a_batch_equal_those_of_single_frames(single: bool) -> None:
    frames = noise(32 * 1024).reshape(32, 1024)
    batch = PowerSpectrum(periodic_hann(1024), 32, single=single)
    one = PowerSpectrum(periodic_hann(1024), 1, single=single)
    together = batch(frames).copy()
    alone = np.concatenate([one(frames[t : t + 1]).copy() for t in range(32)])
    if single and platform.machine() == "aarch64":  # the only case that is not bit for bit: see PowerSpectrum
        largest = np.sqrt(alone.max())
        np.testing.assert_allclose(np.sqrt(together), np.sqrt(alone), rtol=0.0, atol=SINGLE_FFT_ERROR * largest)
    else:
        assert np.array_equal(together, alone)
    assert np.array_equal(batch(frames[:3], frames[3:4], frames[4:]), together)


@pytest.mark.parametrize("window", [1024, 63])
@pytest.mark.parametrize(("single", "error"), [(False, FFT_ERROR), (True, SINGLE_FFT_ERROR)])
def test_spectra_equal_those_in_double_precision(window: int, single: bool, error: float) -> None:
    frames = noise(32 * window).reshape(32, window)
    found = np.sqrt(PowerSpectrum(periodic_hann(window), 32, single=single)(frames))
    expected = np.abs(np.fft.rfft(frames.astype(np.float64) * periodic_hann(window)))
    assert np.all(np.abs(found - expected) <= error * expected.max(axis=1, keepdims=True))


def test_periodic_hann_overlaps_to_a_constant() -> None:
    window = periodic_hann(1024)
    np.testing.assert_allclose(window[:512] + window[512:], 1.0, atol=1e-7)
    assert (window[0], window[512]) == (0.0, 1.0)


def test_ten_seconds_are_311_frames_without_padding() -> None:
    frames = FrontEnd(FrontEndSpec()).push(noise(160_000))
    assert (frames.first, len(frames)) == (0, 311)
    assert frames.features.shape == (311, 128)
    assert {a.dtype for a in (frames.features, frames.power, frames.high_power)} == {np.dtype(np.float32)}


def test_linear_bands_are_triangles_of_equal_width_and_area_one() -> None:
    filters = FrontEndSpec(mels=63, mel_scale="linear").mel().astype(np.float64)
    bins = np.arange(513) * 16_000 / 1024
    centres = 8000.0 * np.arange(1, 64) / 64  # 125 Hz apart: every corner lies on a bin
    np.testing.assert_allclose(filters, np.maximum(0.0, 1.0 - abs(bins[:, None] - centres) / 125.0) / 125.0, atol=1e-9)


def test_the_bundles_mel_matrix_takes_the_place_of_the_computed_one() -> None:
    spec, samples = FrontEndSpec(), noise(4096)
    louder = FrontEnd(spec, spec.mel() * np.float32(10.0)).push(samples)
    plain = FrontEnd(spec).push(samples)
    np.testing.assert_allclose(louder.features[:, 20:], plain.features[:, 20:] + 10.0, atol=1e-4)
    np.testing.assert_array_equal(louder.power, plain.power)
    with pytest.raises(ValueError, match=r"\(513, 64\)"):
        FrontEnd(spec, np.zeros((513, 64), np.float32))


def test_a_nan_is_seen_in_every_frame_that_covers_it_and_in_no_other() -> None:
    samples = noise(16_000)
    samples[5000] = np.nan
    frames = FrontEnd(FrontEndSpec()).push(samples)
    # Frame t covers [512 t, 512 t + 1024): sample 5000 lies in frames 8 and 9.
    for values in (frames.power, frames.high_power, frames.features[:, 60]):
        assert np.flatnonzero(np.isnan(values)).tolist() == [8, 9]


def test_samples_of_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        FrontEnd(FrontEndSpec()).push(np.zeros((1000, 2), np.float32))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hop": 0},
        {"hop": 1025},
        {"mels": 0},
        {"log_floor": 0.0},
        {"low_hz": 8000.0},
        {"high_hz": 8001.0},
        {"stop_hz": 4000.0},
        {"pass_hz": 9000.0},
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"cannot start|no features|no band"):
        FrontEndSpec(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("feature", ["log_mel", "magnitude"])
def test_time_per_hop_stays_within_reach_of_the_budget(feature: Literal["log_mel", "magnitude"]) -> None:
    """The bench proves 25 µs a hop; this catches a front end that became ten times slower."""
    front_end, samples = FrontEnd(FrontEndSpec(feature=feature)), noise(160_000)
    best = np.inf
    for _ in range(5):
        began = perf_counter()
        count = sum(len(front_end.push(samples[i : i + 4000])) for i in range(0, 160_000, 4000))
        best = min(best, (perf_counter() - began) / count)
    assert best < 250e-6
