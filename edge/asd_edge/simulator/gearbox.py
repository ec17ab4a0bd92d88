"""Gearbox: tones at the tooth mesh frequency with sidebands of both shafts."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from asd_edge.simulator.drive import Motion
from asd_edge.simulator.family import around_angle
from asd_edge.simulator.impulses import ImpactTrain
from asd_edge.simulator.kernels import colour, direct, resonances, stack
from asd_edge.simulator.oscillator import harmonics, partials, phasor

PINION_TEETH, WHEEL_TEETH = 23, 41
ROTATION_HZ = 25.0
BALL_PASS = 3.57  # outer race of the output shaft's bearing, a turn of that shaft
# Noise colours: level in dB over frequency in Hz
CHURNING_DB = ((60, 0), (300, 0), (1500, -8), (8000, -30))


class Gearbox:
    """One stage of helical gears (equations: docs/simulator.md, Gearbox).

    Both shafts modulate the mesh in amplitude, and a cracked tooth in amplitude and phase (McFadden,
    "Detecting fatigue cracks in gears by amplitude and phase demodulation of the meshing vibration", 1986).
    """

    faults: ClassVar[tuple[str, ...]] = ("tooth_damage", "bearing_spall")
    snr_db: ClassVar[float] = 1.0

    def __init__(self, design: np.random.Generator, sample_rate: int, chance: np.random.Generator) -> None:
        self._chance = chance
        self.turn_hz = ROTATION_HZ * float(design.uniform(0.97, 1.03))
        self._mesh_tones = partials(6, 0.8, design)
        self._eccentric = design.uniform(0.1, 0.25, 2)
        self._impacts = ImpactTrain(1.0, 0.0, 0.15, chance)
        self._balls = ImpactTrain(BALL_PASS * PINION_TEETH / WHEEL_TEETH, 0.01, 0.3, chance)
        churning = colour(CHURNING_DB, sample_rate, design, ripple_db=2.5)
        struck = [(hertz, design.uniform(15.0, 30.0)) for hertz in design.uniform(900.0, 5500.0, 7)]
        casing = resonances(struck, sample_rate, design)
        self.kernels = stack(direct(), churning, casing)

    def excite(self, motion: Motion) -> NDArray[np.float32]:
        """Return mesh tones, churning oil and impacts on the casing  # [3, n]."""
        tooth, spall = motion.severity("tooth_damage"), motion.severity("bearing_spall")
        pinion = phasor(motion.turns)
        wheel = phasor(motion.turns * (PINION_TEETH / WHEEL_TEETH))
        cracked = tooth * around_angle(pinion, 0.5)
        # A soft tooth lets the wheel lag while it is in mesh: phase runs back, and the force dips.
        mesh = phasor(PINION_TEETH * motion.turns - 0.4 * cracked)
        force = (0.4 + 1.2 * motion.load) * (1.0 - 0.5 * cracked)
        force *= 1.0 + self._eccentric[0] * pinion.real + self._eccentric[1] * wheel.real
        tones = 0.8 * motion.speed**1.5 * force * harmonics(mesh, self._mesh_tones)
        noise = self._chance.standard_normal(motion.samples, np.float32) * (0.6 * motion.speed**2)
        hit = 28.0 * motion.speed * (0.5 + motion.load)
        impacts = self._impacts.render(motion.turns, tooth * hit)
        impacts += self._balls.render(motion.turns, spall * hit * 0.8)
        return np.stack([tones.astype(np.float32), noise, impacts])
