"""Fan: tones at the blade passing frequency over the broadband noise of the flow."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from asd_edge.simulator.drive import Motion
from asd_edge.simulator.family import around_angle
from asd_edge.simulator.kernels import colour, direct, stack
from asd_edge.simulator.oscillator import harmonics, partials, phasor

BLADES = 7
ROTATION_HZ = 24.0
# Noise colours: level in dB over frequency in Hz
VORTICES_DB = ((40, -6), (120, 0), (400, 0), (1500, -12), (8000, -35))
TURBULENCE_DB = ((300, -30), (900, -6), (2500, 0), (5000, -4), (8000, -12))


class Fan:
    """An axial fan (equations: docs/simulator.md, Fan).

    Tones grow as speed^2.5 and the flow as speed^2.5 to speed^3 in pressure: the fan laws' 50 lg(speed) dB
    (Bies & Hansen, Engineering Noise Control, section 10.2).
    """

    faults: ClassVar[tuple[str, ...]] = ("imbalance", "blade_damage")
    snr_db: ClassVar[float] = 1.0

    def __init__(self, design: np.random.Generator, sample_rate: int, chance: np.random.Generator) -> None:
        self._chance = chance
        self.turn_hz = ROTATION_HZ * float(design.uniform(0.97, 1.03))
        self._blade_tones = partials(10, 1.2, design)
        self._rotor_tones = partials(8, 0.5, design)
        self._unequal_blades = partials(40, 0.3, design)
        vortices = colour(VORTICES_DB, sample_rate, design, ripple_db=2.0)
        turbulence = colour(TURBULENCE_DB, sample_rate, design, ripple_db=2.0)
        self.kernels = stack(direct(), vortices, turbulence)

    def excite(self, motion: Motion) -> NDArray[np.float32]:
        """Return tones, large vortices and fine turbulence  # [3, n]."""
        imbalance, damage = motion.severity("imbalance"), motion.severity("blade_damage")
        rotor = phasor(motion.turns)
        law = motion.speed**2.5
        # A whirling rotor changes the tip clearance once a turn: everything the blades radiate is modulated.
        whirl = 1.0 + 0.7 * imbalance * rotor.real
        # One bad blade has a wake of its own, which passes once a turn.
        wake = damage * around_angle(rotor, 0.6)
        tones = 0.5 * law * whirl * harmonics(phasor(BLADES * motion.turns), self._blade_tones)
        tones += (0.1 + 0.6 * imbalance) * motion.speed**2 * harmonics(rotor, self._rotor_tones)
        tones += 0.9 * damage * law * harmonics(rotor, self._unequal_blades)
        noise = self._chance.standard_normal((2, motion.samples), np.float32)
        noise[0] *= 0.8 * law * whirl
        noise[1] *= 0.35 * law * (0.6 + 0.8 * motion.load) * whirl * (1.0 + 4.0 * wake)
        return np.concatenate([tones[np.newaxis], noise])
