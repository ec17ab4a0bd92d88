"""The spectrogram of a clip: time to the right, frequency up, brighter is louder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.spectrum import PowerSpectrum, periodic_hann
from asd_edge.evidence.png import png

WINDOW, HOP = 1024, 512
ROWS = WINDOW // 4
"""Two bins are a row."""

LEFT, TOP, BOTTOM, RIGHT = 30, 8, 20, 12
"""Pixels around the spectrogram."""

_MOST_COLUMNS = 1_600
_RANGE_DB = 80.0  # below the loudest
_NEVER_BRIGHT_DB = -40.0  # on this scale the last of 16 bits hisses at -65: silence is not shown as the loudest sound
_SLAB = 32
_FULL_SCALE = 32_768.0

_COLOURS = 254
BLACK, WHITE = _COLOURS, _COLOURS + 1
# Dark to bright, its lightness rising evenly: readable in grey and by the colour-blind, like matplotlib's "inferno".
_ANCHORS = np.array([(0, 0, 4), (51, 10, 95), (129, 27, 108), (203, 65, 73), (247, 130, 18), (252, 255, 164)])

_DIGITS = {  # 3 × 5 pixels, a row a number, its highest bit on the left
    "0": (7, 5, 5, 5, 7),
    "1": (2, 6, 2, 2, 7),
    "2": (7, 1, 7, 4, 7),
    "3": (7, 1, 7, 1, 7),
    "4": (5, 5, 7, 1, 1),
    "5": (7, 4, 7, 1, 7),
    "6": (7, 4, 7, 5, 7),
    "7": (7, 1, 1, 2, 2),
    "8": (7, 5, 7, 5, 7),
    "9": (7, 5, 7, 1, 7),
    "k": (4, 5, 6, 5, 5),
}


def spectrogram_png(samples: NDArray[np.int16], rate: int, *, marks_s: Sequence[float] = ()) -> bytes:
    """Return the picture of int16 samples [n]: kHz on the left, seconds below, a white line at each of `marks_s`."""
    power = _power(samples)  # [columns, ROWS]
    decibels = 10.0 * np.log10(np.maximum(power, 1e-12))
    brightness = np.clip(1.0 + (decibels - max(decibels.max(), _NEVER_BRIGHT_DB)) / _RANGE_DB, 0.0, 1.0)
    colours = np.rint(brightness.T[::-1] * (_COLOURS - 1)).astype(np.uint8)  # high frequencies on top
    canvas = np.full((TOP + ROWS + BOTTOM, LEFT + len(power) + RIGHT), WHITE, np.uint8)
    canvas[TOP : TOP + ROWS, LEFT : LEFT + len(power)] = colours
    per_second = len(power) / (len(samples) / rate)
    for mark in marks_s:
        if 0 <= (column := int(mark * per_second)) < len(power):
            canvas[TOP : TOP + ROWS : 2, LEFT + column] = WHITE
    _mark_axes(canvas, len(samples) / rate, per_second, rate)
    return png(canvas, _palette())


def _power(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return mean powers [columns, ROWS]; frames are a column each, or several where they would be too many."""
    padded = np.zeros(max(len(samples), WINDOW), np.int16)
    padded[: len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    together = -(-len(frames) // _MOST_COLUMNS)
    spectrum = PowerSpectrum(periodic_hann(WINDOW), _SLAB)
    columns = np.zeros((-(-len(frames) // together), ROWS))
    counts = np.zeros(len(columns))
    for first in range(0, len(frames), _SLAB):
        slab = frames[first : first + _SLAB].astype(np.float32) / _FULL_SCALE
        column = np.arange(first, first + len(slab)) // together
        np.add.at(columns, column, spectrum(slab)[:, : 2 * ROWS].reshape(len(slab), ROWS, 2).mean(axis=2))
        np.add.at(counts, column, 1.0)
    return np.asarray(columns / counts[:, None])


def _mark_axes(canvas: NDArray[np.uint8], seconds: float, per_second: float, rate: int) -> None:
    step = next((step for step in (1, 2, 5, 10, 20, 50, 100) if step * per_second >= 40), 200)
    bottom = TOP + ROWS
    for second in range(0, int(seconds) + 1, step):
        column = LEFT + round(second * per_second)
        canvas[bottom : bottom + 4, column] = BLACK
        _write(canvas, f"{second}", column - 3, bottom + 7)
    khz = rate / 2_000.0
    for tone in range(0, int(khz) + 1, max(1, round(khz / 8))):
        row = bottom - 1 - round(tone / khz * (ROWS - 1))
        canvas[row, LEFT - 4 : LEFT] = BLACK
        _write(canvas, f"{tone}k", 4, max(0, row - 5))


def _write(canvas: NDArray[np.uint8], text: str, left: int, top: int) -> None:
    """Write in black, each dot of the digits 2 × 2 pixels; what does not fit is cut off."""
    for character in text:
        dots = np.array([[row >> bit & 1 for bit in (2, 1, 0)] for row in _DIGITS[character]], dtype=bool)
        place = canvas[top : top + 10, left : left + 6]
        place[dots.repeat(2, axis=0).repeat(2, axis=1)[: place.shape[0], : place.shape[1]]] = BLACK
        left += 8


def _palette() -> NDArray[np.uint8]:
    at = np.linspace(0.0, len(_ANCHORS) - 1.0, _COLOURS)
    ramp = np.stack([np.interp(at, np.arange(len(_ANCHORS)), channel) for channel in _ANCHORS.T], axis=1)
    return np.concatenate([np.rint(ramp), [(0, 0, 0), (255, 255, 255)]]).astype(np.uint8)
