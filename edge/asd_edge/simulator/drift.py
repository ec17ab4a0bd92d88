"""Slow wandering of whatever is not held exactly: speed, load, levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Drift:
    """An Ornstein-Uhlenbeck process, sampled once a slice and started in its stationary state.

    x[i + 1] = a x[i] + sqrt(1 - a^2) sigma w[i],  a = exp(-duration / time constant),  w white, unit variance
    (Uhlenbeck & Ornstein, "On the theory of the Brownian motion", Phys. Rev. 36, 1930).
    The stationary start makes a clip a cut out of an endless recording: clips differ as hours differ.

    Args:
        deviation: stationary standard deviation sigma.
        time_constant_s: time over which the value is remembered.
        duration_s: time between two values.
        rng: source of randomness; None allowed with a deviation of 0.
    """

    def __init__(
        self, deviation: float, time_constant_s: float, duration_s: float, rng: np.random.Generator | None
    ) -> None:
        self._keep = float(np.exp(-duration_s / time_constant_s))
        self._kick = deviation * float(np.sqrt(1.0 - self._keep**2))
        self._rng = rng
        self.value = deviation * float(rng.standard_normal()) if rng else 0.0

    def advance(self) -> float:
        """Return the next value."""
        kick = self._kick * float(self._rng.standard_normal()) if self._rng else 0.0
        self.value = self._keep * self.value + kick
        return self.value


class GainDrift:
    """A gain that drifts by `deviation_db` decibels and has a mean square of 1, as a line over each slice.

    A level of mean m and deviation s in dB has the mean power 10^(m/10) exp((s ln10/10)² / 2): m makes it 1.
    """

    def __init__(
        self,
        deviation_db: float,
        time_constant_s: float,
        duration_s: float,
        rng: np.random.Generator | None,
    ) -> None:
        self._drift = Drift(deviation_db, time_constant_s, duration_s, rng)
        self._mean_db = -(deviation_db**2) * float(np.log(10.0)) / 20.0
        self._gain = self._now()

    def line(self, n: int) -> NDArray[np.float32]:
        """Return the gain at the next n samples  # [n]."""
        self._drift.advance()
        start, self._gain = self._gain, self._now()
        return np.linspace(start, self._gain, n + 1, dtype=np.float32)[1:]

    def _now(self) -> float:
        return float(10.0 ** ((self._mean_db + self._drift.value) / 20.0))
