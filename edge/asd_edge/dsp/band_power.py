"""Mean square of a frame, full band and high-passed, from its spectrum: no filter is run over the samples.

By Parseval's theorem, with X the rfft of the windowed frame w·x of N samples,

    P = 2 / (N · Σ_n w_n²) · Σ_k c_k g_k |X_k|²,    c_k = 1/2 at 0 Hz and at the Nyquist frequency, else 1,

is the w²-weighted mean square of x after a filter of power gain g. White noise of variance s² has
E|X_k|² = s² Σ w², so that P is s² on average for g = 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def parseval_weights(window: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return 2·c_k / (N · Σ w²), one factor a bin  # [bins]."""
    size = len(window)
    ends = np.ones(size // 2 + 1)
    ends[0] = 0.5
    if size % 2 == 0:  # an odd frame has no bin at the Nyquist frequency
        ends[-1] = 0.5
    energy = float(np.sum(np.square(window, dtype=np.float64)))
    return ends * (2.0 / (size * energy))


def offset_free_gain(bins: int) -> NDArray[np.float64]:
    """Return the power gain that leaves a constant out: 0 in the main lobe of a Hann window at 0 Hz  # [bins].

    Many microphones add an offset; with it a machine that stands still would never be found silent.
    """
    gain = np.ones(bins)
    gain[:2] = 0.0
    return gain


def high_pass_gain(*, sample_rate: int, window: int, stop_hz: float, pass_hz: float) -> NDArray[np.float64]:
    """Return the power gain g_k of a raised-cosine high pass: 0 to `stop_hz`, 1 from `pass_hz` on  # [bins].

    The smooth edge keeps a tone that wanders over the cut-off from switching the power on and off.
    """
    bins = np.arange(window // 2 + 1) * (sample_rate / window)
    through: NDArray[np.float64] = np.clip((bins - stop_hz) / (pass_hz - stop_hz), 0.0, 1.0)
    return 0.5 - 0.5 * np.cos(np.pi * through)
