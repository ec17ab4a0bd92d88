"""Spectra of whole segments against scipy and against formulas."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.fft
from numpy.typing import NDArray

from asd_edge.dsp.clip_spectrum import ClipSpectrum, ClipSpectrumSpec
from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.dsp.segments import Segmenter, SegmentSpec

RATE = 16_000
CLIP = 160_000
EVERY = ClipSpectrumSpec().every

# A magnitude is computed in double precision and rounded once: by 2⁻²⁴ = 6e-8 of itself at most. Where bins cancel
# to next to nothing, both double transforms err by some 1e-16 of the largest bin.
ROUNDING = 2.0**-24 * 1.01
DOUBLE = 1e-14


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


def test_a_clip_of_ten_seconds_gives_the_sizes_of_the_paper() -> None:
    spectra = ClipSpectrum(ClipSpectrumSpec()).push(sound(CLIP))
    assert (spectra.magnitudes.shape, spectra.magnitudes.dtype) == ((1, 80_000), np.float32)
    assert spectra.first_sample.dtype == np.int64
    assert len(ClipSpectrum(ClipSpectrumSpec()).push(sound(CLIP - 1))) == 0


def test_a_spectrum_beside_segments_covers_exactly_their_samples() -> None:
    front_end, segment = FrontEndSpec(), SegmentSpec(frames=311, step=31)
    spec = ClipSpectrumSpec.beside(front_end, segment)
    assert (spec.samples, spec.every, spec.bins) == (159_744, EVERY, 79_872)
    samples = sound(CLIP + 5 * EVERY)
    spectra = ClipSpectrum(spec).push(samples)
    segments = Segmenter(segment, front_end.bands).push(FrontEnd(front_end).push(samples))
    assert spectra.first_sample.tolist() == (segments.first_frame * 512).tolist() == [j * EVERY for j in range(6)]


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
