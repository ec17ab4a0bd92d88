"""What the six kinds of machines have in common: excitations inside, paths out to the microphone."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from asd_edge.simulator.drive import Motion


class Family(Protocol):
    """One kind of machine: it excites its paths; their sum is its sound before mounting and room.

    Built as `Family(design, sample_rate, chance)`: `design` draws what makes a unit this unit (tooth errors,
    resonances), `chance` what happens while it runs (turbulence, impacts).
    """

    faults: ClassVar[tuple[str, ...]]
    snr_db: ClassVar[float]  # usual level of the rated machine above the factory around it
    turn_hz: float  # revolutions (cycles) a second at speed 1
    kernels: NDArray[np.float64]  # [paths, taps]

    def excite(self, motion: Motion) -> NDArray[np.float32]:
        """Return what drives each path during one slice  # [paths, n]."""


def around_angle(rotor: NDArray[np.complex64], width: float) -> NDArray[np.float32]:
    """Return a bump of height 1 once a turn, where the angle is 0: exp((cos(angle) - 1) / width^2)  # [n]."""
    bump: NDArray[np.float32] = np.exp((rotor.real - 1.0) * np.float32(1.0 / width**2))
    return bump
