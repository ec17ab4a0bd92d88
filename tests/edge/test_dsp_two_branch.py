"""The two inputs of the two-branch network against scipy and librosa, against formulas, and in their own windows."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.fft
from numpy.typing import NDArray

from asd_edge.dsp.clip_spectrum import ClipSpectrum, ClipSpectrumSpec
from asd_edge.dsp.front_end import Frames, FrontEnd, FrontEndSpec
from asd_edge.dsp.mean_normalised import CLIP_FRAMES, MeanNormaliser
from asd_edge.dsp.segments import Segmenter, SegmentSpec
from tests.edge.required import required_module

RATE = 16_000
CLIP = 160_000
EVERY = ClipSpectrumSpec().every

# A magnitude is computed in double precision and rounded once: by 2⁻²⁴ = 6e-8 of itself at most. Where bins cancel
# to next to nothing, both double transforms err by some 1e-16 of the largest bin.
ROUNDING = 2.0**-24 * 1.01
DOUBLE = 1e-14

# What a single-precision FFT of 1024 samples leaves in a bin, of the frame's largest |X| (test_dsp_front_end.py).
FFT_ERROR = 2e-7


def sound(count: int) -> NDArray[np.float32]:
    """Noise, two tones between bins, one that comes and goes, and an offset."""
    t = np.arange(count) / RATE
    tones = np.sin(2 * np.pi * 997.3 * t) + np.sin(2 * np.pi * 0.7 * t) * np.sin(2 * np.pi * 3200.0 * t)
    return (0.1 + 0.3 * tones + 0.01 * np.random.default_rng(5).standard_normal(count)).astype(np.float32)


def blocks(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut into blocks of every size that a ring of ten seconds meets: none, one, some, and more than it holds."""
    sizes = [0, 1, 999, 4000, 30_001, 170_000]
    return np.split(samples, np.cumsum(sizes)[np.cumsum(sizes) < len(samples)])


def pushed(stage: ClipSpectrum, samples: NDArray[np.float32]) -> tuple[list[int], NDArray[np.float32]]:
    given = [stage.push(block) for block in blocks(samples)]
    return np.concatenate([g.first_sample for g in given]).tolist(), np.concatenate([g.magnitudes for g in given])


def magnitude_frames(samples: NDArray[np.float32]) -> Frames:
    return FrontEnd(FrontEndSpec(feature="magnitude")).push(samples)


def frames_of(features: NDArray[np.float32], *, first: int = 0) -> Frames:
    power = np.arange(first, first + len(features), dtype=np.float32)
    return Frames(first, features, power, 2 * power)


def test_a_clip_of_ten_seconds_gives_the_sizes_of_the_paper() -> None:
    spectra = ClipSpectrum(ClipSpectrumSpec()).push(sound(CLIP))
    windows = MeanNormaliser().push(magnitude_frames(sound(CLIP)))
    assert (spectra.magnitudes.shape, spectra.magnitudes.dtype) == ((1, 80_000), np.float32)
    assert (windows.features.shape, windows.features.dtype) == ((1, 311, 513), np.float32)
    assert (spectra.first_sample.dtype, windows.first_frame.dtype) == (np.int64, np.int64)
    assert len(ClipSpectrum(ClipSpectrumSpec()).push(sound(CLIP - 1))) == 0


def test_windows_of_both_branches_start_together() -> None:
    samples = sound(CLIP + 5 * EVERY)
    spectra, windows = ClipSpectrum(ClipSpectrumSpec()).push(samples), MeanNormaliser().push(magnitude_frames(samples))
    assert spectra.first_sample.tolist() == (windows.first_frame * 512).tolist() == [j * EVERY for j in range(6)]


def test_spectra_equal_scipys_of_the_same_stretches() -> None:
    samples = sound(CLIP + 3 * EVERY + 500)
    starts, found = pushed(ClipSpectrum(ClipSpectrumSpec()), samples)
    assert starts == [0, EVERY, 2 * EVERY, 3 * EVERY]
    for start, magnitudes in zip(starts, found, strict=True):
        expected = np.abs(scipy.fft.rfft(samples[start : start + CLIP].astype(np.float64)))[:80_000]
        np.testing.assert_allclose(magnitudes, expected, rtol=ROUNDING, atol=DOUBLE * expected.max())


def test_a_spectrum_is_the_same_wherever_its_window_stands_in_the_stream() -> None:
    samples = sound(CLIP + 2 * EVERY)
    _, found = pushed(ClipSpectrum(ClipSpectrumSpec()), samples)
    for start, magnitudes in zip((0, EVERY, 2 * EVERY), found, strict=True):
        alone = ClipSpectrum(ClipSpectrumSpec()).push(samples[start : start + CLIP])
        largest = magnitudes.max()
        np.testing.assert_allclose(magnitudes, alone.magnitudes[0], rtol=2 * ROUNDING, atol=DOUBLE * largest)


# Parseval: Σ_n x_n² = (|X_0|² + 2·Σ_{0<k<N/2} |X_k|² + |X_{N/2}|²) / N. An odd N has no X_{N/2}.
@pytest.mark.parametrize("size", [CLIP, 9_999])
def test_all_bins_together_hold_the_energy_of_the_window(size: int) -> None:
    samples = sound(size)
    spec = ClipSpectrumSpec(samples=size, every=size, bins=size // 2 + 1)
    squares = ClipSpectrum(spec).push(samples).magnitudes[0].astype(np.float64) ** 2
    once = squares[0] + (squares[-1] if size % 2 == 0 else 0.0)
    energy = np.sum(samples.astype(np.float64) ** 2)
    assert (2.0 * squares.sum() - once) / size == pytest.approx(energy, rel=2 * ROUNDING)


def test_a_tone_on_a_bin_is_half_its_amplitude_times_the_window_and_nothing_elsewhere() -> None:
    bin_, amplitude = 12_345, 0.5
    tone = amplitude * np.sin(2 * np.pi * bin_ * np.arange(CLIP) / CLIP)
    found = ClipSpectrum(ClipSpectrumSpec()).push(tone.astype(np.float32)).magnitudes[0]
    rounded = CLIP * 2.0**-26  # samples below 0.5 are rounded by 2⁻²⁶ at most, which no bin can exceed N times
    assert found[bin_] == pytest.approx(amplitude * CLIP / 2, abs=rounded)
    assert np.delete(found, bin_).max() < rounded


def test_an_offset_is_seen_in_the_first_bin_alone() -> None:
    found = ClipSpectrum(ClipSpectrumSpec()).push(np.full(CLIP, -0.25, np.float32)).magnitudes[0]
    assert found[0] == 0.25 * CLIP
    assert found[1:].max() < DOUBLE * found[0]


def test_a_push_that_completes_no_window_allocates_no_second_buffer() -> None:
    stage, block = ClipSpectrum(ClipSpectrumSpec(every=100_000)), sound(160)
    stage.push(sound(261_000))
    tracemalloc.start()
    for _ in range(600):  # to sample 357 000: over the end of the ring at 320 000, and short of a window at 360 000
        assert len(stage.push(block)) == 0
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stage.initial_state().ring.nbytes == 640_000
    assert most < 16_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": 0},
        {"every": 0},
        {"every": CLIP + 1},
        {"bins": 0},
        {"bins": 80_002},
        {"samples": 31, "every": 31, "bins": 17},
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"cannot start every|bins, not"):
        ClipSpectrumSpec(**wrong)


def test_samples_of_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        ClipSpectrum(ClipSpectrumSpec()).push(np.zeros((1000, 2), np.float32))


def test_windows_equal_librosas_magnitudes_minus_their_temporal_mean() -> None:
    required_module("librosa", "dev")
    import librosa

    samples = sound(CLIP + 2 * EVERY)
    front_end, stage = FrontEnd(FrontEndSpec(feature="magnitude")), MeanNormaliser()
    given = [stage.push(front_end.push(block)) for block in blocks(samples)]
    found = np.concatenate([windows.features for windows in given])
    assert np.concatenate([windows.first_frame for windows in given]).tolist() == [0, 31, 62]
    for start, features in zip((0, EVERY, 2 * EVERY), found, strict=True):
        clip = samples[start : start + CLIP].astype(np.float64)
        magnitudes = np.abs(librosa.stft(clip, n_fft=1024, hop_length=512, center=False)).T  # [311, 513]
        expected = magnitudes - magnitudes.mean(axis=0)
        # The FFT's error counts once in the frame and once in the mean.
        assert np.abs(features - expected).max() <= 2 * FFT_ERROR * magnitudes.max()


def test_a_sound_that_stays_the_same_is_exactly_zero() -> None:
    # A period of 16 samples divides the hop: all frames are the same, and so is their mean, to the last bit.
    period = (0.1 + 0.5 * np.sin(2 * np.pi * np.arange(16) / 16)).astype(np.float32)
    frames = magnitude_frames(np.tile(period, CLIP // 16))
    assert frames.features[0, 64] > 100.0
    np.testing.assert_array_equal(MeanNormaliser().push(frames).features, 0.0)


def test_an_offset_of_each_band_is_removed_and_changes_nothing_else() -> None:
    spec = SegmentSpec(frames=20, step=10)
    whole = np.random.default_rng(1).integers(-100, 100, (20, 4)).astype(np.float32)
    offset = np.array([0.0, 1.0, 1000.0, -4096.0], np.float32)  # the sums stay exact
    plain, raised = (MeanNormaliser(spec, 4).push(frames_of(f)).features for f in (whole, whole + offset))
    np.testing.assert_allclose(raised, plain, rtol=0.0, atol=200 * ROUNDING)
    np.testing.assert_allclose(plain.mean(axis=1, dtype=np.float64), 0.0, atol=200 * ROUNDING)
    np.testing.assert_allclose(np.diff(plain[0], axis=0), np.diff(whole, axis=0), atol=400 * ROUNDING)


def test_the_mean_does_not_drift_however_loud_the_past_was() -> None:
    rng = np.random.default_rng(2)
    stage = MeanNormaliser(SegmentSpec(frames=50, step=50), bands=3)
    loud = rng.random((20_000, 3)).astype(np.float32) * np.float32(1e6)
    quiet = rng.random((50, 3)).astype(np.float32)
    for first in range(0, 20_000, 70):
        stage.push(frames_of(loud[first : first + 70], first=first))
    found = stage.push(frames_of(quiet, first=20_000))
    expected = quiet.astype(np.float64) - quiet.mean(axis=0, dtype=np.float64)
    assert found.first_frame.tolist() == [20_000]
    np.testing.assert_allclose(found.features[0], expected, rtol=ROUNDING, atol=DOUBLE)


def test_powers_and_indices_are_the_segmenters() -> None:
    frames = magnitude_frames(sound(CLIP + EVERY))
    found, expected = MeanNormaliser().push(frames), Segmenter(CLIP_FRAMES, bands=513).push(frames)
    for name in ("first_frame", "power", "high_power"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_channels_that_share_a_normaliser_get_what_one_of_their_own_would_give() -> None:
    spec = SegmentSpec(frames=6, step=2)
    shared = MeanNormaliser(spec, bands=3)
    channels = [np.random.default_rng(seed).random((15, 3)).astype(np.float32) for seed in (3, 4)]
    states = [shared.initial_state() for _ in channels]
    for part in (slice(0, 8), slice(8, 15)):
        for features, state in zip(channels, states, strict=True):
            own = MeanNormaliser(spec, bands=3)
            own.push(frames_of(features[: part.start]))
            expected = own.push(frames_of(features[part], first=part.start))
            found = shared.advance(state, frames_of(features[part], first=part.start))
            np.testing.assert_array_equal(found.features, expected.features)


def test_frames_after_a_gap_are_refused_until_a_reset() -> None:
    stage = MeanNormaliser(SegmentSpec(frames=4, step=2), bands=3)
    stage.push(frames_of(np.ones((5, 3), np.float32)))
    late = frames_of(np.ones((5, 3), np.float32), first=9)
    with pytest.raises(ValueError, match="frame 9 does not follow frame 4"):
        stage.push(late)
    stage.reset()
    assert stage.push(late).first_frame.tolist() == [9]


def test_log_mel_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="do not have 513 features"):
        MeanNormaliser().push(FrontEnd(FrontEndSpec()).push(sound(4096)))
