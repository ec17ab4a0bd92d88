"""Magnitude spectra of whole segments: one Fourier transform over seconds of sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.dsp.stage import Stage


@dataclass(frozen=True, slots=True)
class ClipSpectrumSpec:
    """What one spectrum covers, and what is kept of it. The default is the published one, every 31 frames of 512.

    Attributes:
        samples: samples of a window.
        every: samples between the starts of windows.
        bins: how many bins are kept, from 0 Hz on.

    Raises:
        ValueError: values that contradict each other.
    """

    samples: int = 160_000
    every: int = 31 * 512
    bins: int = 80_000

    def __post_init__(self) -> None:
        if not 1 <= self.every <= self.samples:
            raise ValueError(f"spectra of {self.samples} samples cannot start every {self.every}")
        most = self.samples // 2 + 1
        if not 1 <= self.bins <= most:
            raise ValueError(f"{self.samples} samples have between 1 and {most} bins, not {self.bins}")

    @classmethod
    def beside(cls, front_end: FrontEndSpec, segment: SegmentSpec) -> ClipSpectrumSpec:
        """Return the spectrum of exactly a segment's samples, without the last bin as published.

        It begins and is complete with its segment: spectrum j belongs to segment j.
        """
        samples = front_end.samples(segment.frames)
        return cls(samples=samples, every=segment.step * front_end.hop, bins=samples // 2)


@dataclass(frozen=True, slots=True)
class ClipSpectra:
    """Spectra of consecutive windows.

    `first_sample`: absolute index of each window's first sample, int64 [windows].
    `magnitudes`: float32 [windows, bins], linear.
    """

    first_sample: NDArray[np.int64]
    magnitudes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first_sample)


@dataclass(slots=True)
class ClipSpectrumState:
    """The last samples heard: sample i lies at i mod len(ring). `heard`: how many there were in all."""

    ring: NDArray[np.float32]
    heard: int = 0


class ClipSpectrum(Stage[NDArray[np.float32], ClipSpectra, ClipSpectrumState]):
    """Samples in, magnitude spectra of overlapping windows out: window j covers [j·every, j·every + samples)."""

    def __init__(self, spec: ClipSpectrumSpec) -> None:
        self.spec = spec
        super().__init__()

    @property
    def latency(self) -> int:
        """Samples of a window: it is complete with its last one."""
        return self.spec.samples

    def initial_state(self) -> ClipSpectrumState:
        """Return the memory of a stream that has not begun."""
        return ClipSpectrumState(np.zeros(self.spec.samples, np.float32))

    def push(self, taken: NDArray[np.float32]) -> ClipSpectra:
        """Take float32 samples [n], any n; return the spectra of the windows they complete.

        Raises:
            ValueError: more than one dimension.
        """
        return self.advance(self._state, taken)

    def advance(self, state: ClipSpectrumState, taken: NDArray[np.float32]) -> ClipSpectra:
        """Do what `push` does on the memory of one of many channels."""
        samples = np.asarray(taken, np.float32)
        if samples.ndim != 1:
            raise ValueError(f"samples of one channel have one dimension, not {samples.ndim}")
        begin = state.heard
        starts = self.spec.every * np.arange(self._complete(begin), self._complete(begin + len(samples)))
        spectra = ClipSpectra(starts, np.empty((len(starts), self.spec.bins), np.float32))
        kept = 0
        for start, magnitudes in zip(starts.tolist(), spectra.magnitudes, strict=True):
            end = start + self.spec.samples - begin
            _keep(state, samples[kept:end])
            _transform(state, magnitudes)
            kept = end
        _keep(state, samples[kept:])
        return spectra

    def flush(self) -> ClipSpectra:
        """Drop the last, incomplete window."""
        self.reset()
        return ClipSpectra(np.zeros(0, np.int64), np.zeros((0, self.spec.bins), np.float32))

    def _complete(self, heard: int) -> int:
        """Return how many windows are complete after so many samples."""
        return max(0, (heard - self.spec.samples) // self.spec.every + 1)


def _keep(state: ClipSpectrumState, samples: NDArray[np.float32]) -> None:
    """Write at most a ring of samples over the oldest ones."""
    at = state.heard % len(state.ring)
    wrapped = max(0, at + len(samples) - len(state.ring))
    straight = len(samples) - wrapped
    state.ring[at : at + straight] = samples[:straight]
    state.ring[:wrapped] = samples[straight:]
    state.heard += len(samples)


# |X_k| = |Σ_n x_n·exp(−2πi·k·n / N)|, k = 0 … bins − 1, over all N samples of the window, without a window
# function (Wilkinghoff, ICASSP 2023, input of table 2: N = 160 000, 80 000 bins; which ones, in its released code).
# A rotation of the x_n turns only the phases of the X_k (shift theorem): the ring is transformed as it lies.
# In double precision: a single-precision one is 1 % off in the faintest bins of noise 80 dB below a tone.
def _transform(state: ClipSpectrumState, magnitudes: NDArray[np.float32]) -> None:
    spectrum = np.fft.rfft(state.ring.astype(np.float64))
    np.abs(spectrum[: len(magnitudes)], out=magnitudes)
