"""The spectrogram of a clip: time to the right, frequency up, brighter is louder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.spectrum import PowerSpectrum, periodic_hann
from asd_edge.evidence import lettering
from asd_edge.evidence.png import png

WINDOW, HOP = 2_048, 1_024
ROWS = 256
LOWEST_HZ = 30.0
"""Where the axis begins; it ends at half the rate. A machine's tones are multiples of its turns: it is logarithmic."""

LEFT, BOTTOM, RIGHT = 7 * lettering.WIDTH, lettering.HEIGHT + 12, 20
"""Pixels around the spectrogram; above it are the lines of the title, and one for each mark."""

_LINE = lettering.HEIGHT + 4
_MARGIN = 6
_MOST_COLUMNS = 1_600
_RANGE_DB = 60.0  # below the loudest
_NEVER_BRIGHT_DB = -40.0  # on this scale the last of 16 bits hisses at -65: silence is not shown as the loudest sound
_SLAB = 32
_FULL_SCALE = 32_768.0

_COLOURS = 64  # a decibel each: noise in more of them makes a large file and shows nothing
BLACK, WHITE = _COLOURS, _COLOURS + 1
# Dark to bright, its lightness rising evenly: readable in grey and by the colour-blind, like matplotlib's "inferno".
_ANCHORS = np.array([(0, 0, 4), (51, 10, 95), (129, 27, 108), (203, 65, 73), (247, 130, 18), (252, 255, 164)])
_TICKS_HZ = [step * decade for decade in (10, 100, 1_000, 10_000) for step in (1, 2, 5)]


def spectrogram_png(
    samples: NDArray[np.int16], rate: int, *, title: Sequence[str] = (), marks: Sequence[tuple[float, str]] = ()
) -> bytes:
    """Return the picture of a clip.

    Args:
        samples: int16 [n].
        rate: samples a second.
        title: lines above it.
        marks: seconds, each with what began then: white lines, and words above them.
    """
    power = _power(samples, rate)  # [columns, ROWS]
    decibels = 10.0 * np.log10(np.maximum(power, 1e-12))
    brightness = np.clip(1.0 + (decibels - max(decibels.max(), _NEVER_BRIGHT_DB)) / _RANGE_DB, 0.0, 1.0)
    top = top_of(title, marks)
    width = max(LEFT + len(power) + RIGHT, 2 * _MARGIN + lettering.WIDTH * max(map(len, title), default=0))
    canvas = np.full((top + ROWS + BOTTOM, width), WHITE, np.uint8)
    inside = canvas[top : top + ROWS, LEFT : LEFT + len(power)]
    inside[:] = np.rint(brightness.T[::-1] * (_COLOURS - 1))  # high frequencies on top
    for number, line in enumerate(title):
        lettering.write(canvas, line, _MARGIN, _MARGIN + _LINE * number, BLACK)
    per_second = len(power) / (len(samples) / rate)
    for number, (second, words) in enumerate(marks, len(title)):
        if 0 <= (column := int(second * per_second)) < len(power):
            inside[np.arange(ROWS) % 8 < 5, column] = WHITE
            above = _MARGIN + _LINE * number
            canvas[above:top, LEFT + column] = BLACK
            left = min(LEFT + column + 4, width - lettering.WIDTH * len(words))
            lettering.write(canvas, words, max(0, left), above, BLACK)
    _mark_axes(canvas, top, len(samples) / rate, per_second, rate)
    return png(canvas, _palette())


def top_of(title: Sequence[str], marks: Sequence[tuple[float, str]]) -> int:
    """Return the pixels above the spectrogram."""
    return _MARGIN + _LINE * (len(title) + len(marks))


def row_of(hertz: float, rate: int) -> float:
    """Return where a frequency lies above the bottom of the spectrogram, in rows."""
    return float(ROWS * np.log(hertz / LOWEST_HZ) / np.log(rate / 2.0 / LOWEST_HZ))


def _power(samples: NDArray[np.int16], rate: int) -> NDArray[np.float64]:
    """Return mean powers [columns, ROWS]; frames are a column each, or several where they would be too many."""
    padded = np.zeros(max(len(samples), WINDOW), np.int16)
    padded[: len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    together = -(-len(frames) // _MOST_COLUMNS)
    spectrum, bands = PowerSpectrum(periodic_hann(WINDOW), _SLAB), _bands(rate)
    columns = np.zeros((-(-len(frames) // together), ROWS))
    counts = np.zeros(len(columns))
    for first in range(0, len(frames), _SLAB):
        slab = frames[first : first + _SLAB].astype(np.float32) / _FULL_SCALE
        column = np.arange(first, first + len(slab)) // together
        np.add.at(columns, column, spectrum(slab) @ bands)
        np.add.at(counts, column, 1.0)
    return np.asarray(columns / counts[:, None])


# A row is a band of constant relative width, as in octave analysis (IEC 61260): it has of each bin's power the part of
# the bin that it covers, bin k reaching from k - 1/2 to k + 1/2.
def _bands(rate: int) -> NDArray[np.float64]:
    """Return what each row takes of each bin, [bins, ROWS]."""
    edges = np.geomspace(LOWEST_HZ, rate / 2.0, ROWS + 1) * (WINDOW / rate)
    bins = np.arange(WINDOW // 2 + 1)[:, None]
    overlap = np.minimum(edges[1:], bins + 0.5) - np.maximum(edges[:-1], bins - 0.5)
    return np.asarray(np.maximum(0.0, overlap))


def _mark_axes(canvas: NDArray[np.uint8], top: int, seconds: float, per_second: float, rate: int) -> None:
    bottom = top + ROWS
    step = next((step for step in (1, 2, 5, 10, 20, 50, 100, 200) if step * per_second >= 75), 500)
    for second in range(0, int(seconds) + 1, step):
        column = LEFT + round(second * per_second)
        canvas[bottom : bottom + 5, column] = BLACK
        lettering.write(canvas, f"{second} s", column - 5, bottom + 9, BLACK)
    for hertz in _TICKS_HZ:
        if LOWEST_HZ < hertz < rate / 2:
            row = bottom - 1 - round(row_of(hertz, rate))
            canvas[row, LEFT - 5 : LEFT] = BLACK
            words = f"{hertz} Hz" if hertz < 1_000 else f"{hertz // 1_000} kHz"
            left = LEFT - 8 - lettering.WIDTH * len(words)
            lettering.write(canvas, words, left, max(0, row - lettering.HEIGHT // 2), BLACK)


def _palette() -> NDArray[np.uint8]:
    at = np.linspace(0.0, len(_ANCHORS) - 1.0, _COLOURS)
    ramp = np.stack([np.interp(at, np.arange(len(_ANCHORS)), channel) for channel in _ANCHORS.T], axis=1)
    return np.concatenate([np.rint(ramp), [(0, 0, 0), (255, 255, 255)]]).astype(np.uint8)
