"""Streaming convolution of several excitations with their paths, summed at the microphone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asd_edge.simulator.drive import SLICE

MAX_TAPS = SLICE + 1  # what overlap-save of a doubled slice can hold


class FirMix:
    """y[t] = sum_p (h_p * x_p)[t] for slices of `SLICE` samples, by overlap-save.

    Oppenheim & Schafer, Discrete-Time Signal Processing, section 8.7.3; one inverse transform for all paths.
    `use` replaces the kernels; the next slice cross-fades from the old ones to the new ones.

    Args:
        kernels: impulse response of each path, MAX_TAPS long at most  # [paths, taps].
    """

    def __init__(self, kernels: NDArray[np.float64]) -> None:
        self._spectra = _spectra(kernels)  # [paths, SLICE + 1]
        self._next: NDArray[np.complex64] | None = None
        self._past = np.zeros((len(kernels), SLICE), np.float32)
        self._fade = np.linspace(0.0, 1.0, SLICE, dtype=np.float32)

    def use(self, kernels: NDArray[np.float64]) -> None:
        """Replace the kernels during the next slice  # [paths, taps]."""
        self._next = _spectra(kernels)

    def render(self, excitations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the sum of the paths  # [paths, SLICE] -> [SLICE]."""
        doubled = np.concatenate([self._past, excitations], axis=1)
        spectra = np.fft.rfft(doubled, axis=1).astype(np.complex64, copy=False)
        self._past = excitations
        sound = self._sum(spectra, self._spectra)
        if self._next is not None:
            sound += (self._sum(spectra, self._next) - sound) * self._fade
            self._spectra, self._next = self._next, None
        return sound

    @staticmethod
    def _sum(excitations: NDArray[np.complex64], kernels: NDArray[np.complex64]) -> NDArray[np.float32]:
        mixed = np.einsum("pf,pf->f", excitations, kernels)
        return np.fft.irfft(mixed, 2 * SLICE)[SLICE:].astype(np.float32)


def _spectra(kernels: NDArray[np.float64]) -> NDArray[np.complex64]:
    if kernels.shape[1] > MAX_TAPS:
        raise ValueError(f"a kernel of {kernels.shape[1]} taps does not fit; at most {MAX_TAPS}")
    return np.fft.rfft(kernels, 2 * SLICE, axis=1).astype(np.complex64)
