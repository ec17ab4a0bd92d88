"""Impulses placed between samples: impacts locked to a shaft, and random ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ImpactTrain:
    """Impacts that happen `order` times a turn, not quite regularly because rolling elements slip.

    The n-th interval is (1 + slip w_n) / order turns, w white, so that the phase is a random walk: the train
    of McFadden & Smith ("Model for the vibration produced by a single point defect in a rolling element
    bearing", 1984) with the slip of Randall & Antoni ("Rolling element bearing diagnostics", 2011).

    Args:
        order: impacts a turn.
        slip: relative standard deviation of an interval.
        scatter: relative standard deviation of the strength of an impact.
        rng: source of randomness.
    """

    def __init__(self, order: float, slip: float, scatter: float, rng: np.random.Generator) -> None:
        self._order = order
        self._slip = slip
        self._scatter = scatter
        self._rng = rng
        self._due: float | None = None

    def render(self, turns: NDArray[np.float64], strength: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the impacts of this slice, each as strong as `strength` is where it falls  # [n]."""
        if self._due is None:
            self._due = float(turns[0]) + float(self._rng.uniform()) / self._order
        due = []
        while self._due <= turns[-1]:
            due.append(self._due)
            wobble = 1.0 + self._slip * float(self._rng.standard_normal())
            self._due += max(wobble, 0.1) / self._order
        if not due:
            return np.zeros(len(turns), np.float32)
        positions = np.interp(due, turns, np.arange(len(turns)))
        scatter = 1.0 + self._scatter * self._rng.standard_normal(len(due))
        return place(positions, scatter * strength[positions.astype(np.intp)], len(turns))


def place(positions: NDArray[np.float64], strengths: NDArray[np.float64], samples: int) -> NDArray[np.float32]:
    """Return impulses at fractional positions, each shared between two neighbouring samples  # [samples]."""
    below = positions.astype(np.intp)
    part = positions - below
    line = np.bincount(below, (1.0 - part) * strengths, samples + 1)
    line += np.bincount(below + 1, part * strengths, samples + 1)
    return line[:samples].astype(np.float32)


def rising(phase: NDArray[np.float64], before: float) -> NDArray[np.intp]:
    """Return the samples at which `phase` passes zero upwards; `before` is its value one sample earlier."""
    earlier = np.concatenate([[before], phase[:-1]])
    return np.flatnonzero((earlier < 0.0) & (phase >= 0.0))
