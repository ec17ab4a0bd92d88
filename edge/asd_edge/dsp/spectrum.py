"""Power spectra of frames."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


def periodic_hann(size: int) -> NDArray[np.float32]:
    """Return w_n = 1/2 − 1/2·cos(2πn / size), the Hann window whose copies at a hop of size/2 add up to 1."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)).astype(np.float32)


class PowerSpectrum:
    """|rfft(w·x)|² of up to `rows` frames at a time, in memory that is allocated once.

    Every row equals the row computed alone: bit for bit on x86. On aarch64 NumPy transforms four rows at a time in
    vector code whose products and sums round otherwise than those of a single row (a·b + c at once), so rows in single
    precision differ within the error below. One instance serves one thread.

    Args:
        window: w, float32 [window].
        rows: most frames at a time.
        single: compute in single precision. That takes 2/3 of the time and leaves in every bin an error of up to
            2.4e-7 of the frame's largest |X|, where double precision, rounded at the end, leaves 1.3e-7.
    """

    def __init__(self, window: NDArray[np.float32], rows: int, *, single: bool = False) -> None:
        bins = len(window) // 2 + 1
        self.rows = rows
        # NumPy's rfft of float32 works in double precision unless it is to divide by the frame's size. So the window
        # is multiplied by that, which is exact for a power of two.
        self._norm: Literal["forward"] | None = "forward" if single else None
        scaled = window * np.float32(len(window) if single else 1)
        self._window = np.tile(scaled, (rows, 1))  # a broadcast takes longer than reading it from the cache
        self._windowed = np.empty((rows, len(window)), np.float32)
        self._spectrum: NDArray[Any] = np.empty((rows, bins), np.complex64)  # the stubs of rfft want complex128
        self._squares: NDArray[np.float32] = self._spectrum.view(np.float32)  # re, im, re, im, …
        self._power = np.empty((rows, bins), np.float32)

    def __call__(self, *frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the power spectra [T, bins] of frames [·, window], T ≤ rows in all; valid until the next call."""
        count = sum(map(len, frames))
        windowed, spectrum, squares = self._windowed[:count], self._spectrum[:count], self._squares[:count]
        np.concatenate(frames, out=windowed)
        np.multiply(windowed, self._window[:count], out=windowed)
        np.fft.rfft(windowed, norm=self._norm, out=spectrum)
        np.multiply(squares, squares, out=squares)
        return np.add(squares[:, 0::2], squares[:, 1::2], out=self._power[:count])
