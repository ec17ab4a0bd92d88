"""Machines that work in cycles: what differs from one cycle to the next, and smooth rises and falls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class CycleDraws:
    """One random number for each cycle, uniform in 0..1: no stroke is quite like the last.

    Args:
        rng: source of randomness.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._last: int | None = None
        self._value = 0.0

    def at(self, cycles: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the draw of each sample's cycle; `cycles` are whole numbers that never fall  # [n]."""
        first, last = int(cycles[0]), int(cycles[-1])
        if self._last is None:
            self._last, self._value = first, float(self._rng.uniform())
        fresh = self._rng.uniform(size=last - self._last)
        values = np.concatenate([[self._value], fresh])
        drawn = values[(cycles - self._last).astype(np.intp)].astype(np.float32)
        self._last, self._value = last, float(values[-1])
        return drawn


def smooth_step(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 0 below 0, 1 above 1 and a raised cosine between: 0.5 (1 - cos(pi x))."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(x, 0.0, 1.0))
