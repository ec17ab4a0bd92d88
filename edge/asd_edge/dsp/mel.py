"""Triangular filters: mels in the two conventions that are in use, or bands of equal width."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

MelScale = Literal["htk", "slaney", "linear"]

# Slaney (Auditory Toolbox, 1998): linear below 1 kHz, 200/3 Hz a mel; above, 27 mels for a factor of 6.4.
_LINEAR_HZ = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ
_LOG_STEP = np.log(6.4) / 27.0


def hz_to_mel(hz: NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    """Return mels of frequencies in Hz, elementwise."""
    if scale == "linear":
        return hz
    if scale == "htk":  # O'Shaughnessy 1987; the HTK Book, equation 5.13
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = _BREAK_MEL + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _LINEAR_HZ, above)


def mel_to_hz(mel: NDArray[np.float64], scale: MelScale) -> NDArray[np.float64]:
    """Return frequencies in Hz of mels, elementwise; the inverse of `hz_to_mel`."""
    if scale == "linear":
        return mel
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, above)


def mel_matrix(
    *, sample_rate: int, window: int, mels: int, scale: MelScale, low_hz: float, high_hz: float
) -> NDArray[np.float32]:
    """Return the filters that turn a power spectrum into mel power, float32 [bins, mels].

    Each convention is taken whole: "htk" has triangles of height 1 (librosa's `norm=None`), "slaney" triangles
    of area 1 over Hz. "linear" is no mel scale: equal bands of area 1, band j around low + (j + 1) (high − low) /
    (mels + 1). There are `window // 2 + 1` bins; a filter narrower than a bin may be empty.
    """
    edges = hz_to_mel(np.array([low_hz, high_hz]), scale)
    corners = mel_to_hz(np.linspace(edges[0], edges[1], mels + 2), scale)  # [mels + 2]
    bins = np.arange(window // 2 + 1) * (sample_rate / window)  # [bins]
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins[:, None] - left) / (centre - left)
    falling = (right - bins[:, None]) / (right - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))  # [bins, mels]
    if scale != "htk":
        triangles *= 2.0 / (right - left)
    return triangles.astype(np.float32)
