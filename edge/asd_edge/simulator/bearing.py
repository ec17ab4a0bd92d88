"""Rolling bearing: rolling noise of the raceways; a spall rings a resonance at each passing ball."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from asd_edge.simulator.drive import Motion
from asd_edge.simulator.impulses import ImpactTrain
from asd_edge.simulator.kernels import colour, direct, resonances, stack
from asd_edge.simulator.oscillator import harmonics, partials, phasor

BALLS = 9
BALL_TO_PITCH = 0.2034  # ball over pitch diameter of a deep-groove 6205, contact angle 0
OUTER_RACE = BALLS / 2.0 * (1.0 - BALL_TO_PITCH)  # ball passes a turn, BPFO / shaft
INNER_RACE = BALLS / 2.0 * (1.0 + BALL_TO_PITCH)  # BPFI / shaft
CAGE = 0.5 * (1.0 - BALL_TO_PITCH)  # FTF / shaft
ROTATION_HZ = 29.0
SLIP = 0.012
# Noise colours: level in dB over frequency in Hz
ROLLING_DB = ((80, -6), (400, 0), (1600, 0), (3000, -3), (8000, -20))


class Bearing:
    """A ball bearing on its test shaft (equations: docs/simulator.md, Bearing)."""

    faults: ClassVar[tuple[str, ...]] = ("outer_race_spall", "inner_race_spall")
    snr_db: ClassVar[float] = 1.0

    def __init__(self, design: np.random.Generator, sample_rate: int, chance: np.random.Generator) -> None:
        self._chance = chance
        self.turn_hz = ROTATION_HZ * float(design.uniform(0.97, 1.03))
        self._shaft_tones = partials(5, 1.0, design)
        self._outer = ImpactTrain(OUTER_RACE, SLIP, 0.25, chance)
        self._inner = ImpactTrain(INNER_RACE, SLIP, 0.25, chance)
        rolling = colour(ROLLING_DB, sample_rate, design, ripple_db=3.0)
        struck = [(hertz, design.uniform(12.0, 25.0)) for hertz in design.uniform(2000.0, 6000.0, 4)]
        self.kernels = stack(direct(), rolling, resonances(struck, sample_rate, design))

    def excite(self, motion: Motion) -> NDArray[np.float32]:
        """Return shaft tones, rolling noise and ball passes over a spall  # [3, n]."""
        shaft = phasor(motion.turns)
        cage = phasor(CAGE * motion.turns)
        tones = 0.35 * motion.speed * harmonics(shaft, self._shaft_tones)
        rolling = self._chance.standard_normal(motion.samples, np.float32)
        rolling *= motion.speed**1.5 * (0.6 + 0.8 * motion.load) * (1.0 + 0.1 * cage.real)
        hit = 16.0 * motion.speed * (0.5 + motion.load)
        outer = self._outer.render(motion.turns, hit * motion.severity("outer_race_spall"))
        # The inner race carries its spall through the load zone once a turn; the outer one stays in it.
        zone = 0.5 + 0.5 * shaft.real
        inner = self._inner.render(motion.turns, hit * 1.3 * zone * motion.severity("inner_race_spall"))
        return np.stack([tones, rolling, outer + inner])
