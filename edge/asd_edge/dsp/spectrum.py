"""Power spectra of frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def periodic_hann(size: int) -> NDArray[np.float32]:
    """Return w_n = 1/2 − 1/2·cos(2πn / size), the Hann window whose copies at a hop of size/2 add up to 1."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)).astype(np.float32)


class PowerSpectrum:
    """|rfft(w·x)|² of up to `rows` frames at a time, in memory that is allocated once.

    Every row equals the row computed alone, bit for bit. One instance serves one thread.
    """

    def __init__(self, window: NDArray[np.float32], rows: int) -> None:
        bins = len(window) // 2 + 1
        self.rows = rows
        self._window = window
        self._windowed = np.empty((rows, len(window)), np.float32)
        self._spectrum: NDArray[Any] = np.empty((rows, bins), np.complex64)  # the stubs of rfft want complex128
        self._squares: NDArray[np.float32] = self._spectrum.view(np.float32)  # re, im, re, im, …
        self._power = np.empty((rows, bins), np.float32)

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the power spectra [T, bins] of frames [T, window], T ≤ rows; valid until the next call."""
        count = len(frames)
        windowed, squares = self._windowed[:count], self._squares[:count]
        np.multiply(frames, self._window, out=windowed)
        np.fft.rfft(windowed, axis=1, out=self._spectrum[:count])
        np.multiply(squares, squares, out=squares)
        return np.add(squares[:, 0::2], squares[:, 1::2], out=self._power[:count])
