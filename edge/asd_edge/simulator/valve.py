"""Solenoid valve: a click, a burst of gas, a click, and silence until the next cycle."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from asd_edge.simulator.cycles import CycleDraws, smooth_step
from asd_edge.simulator.drive import SLICE, Motion
from asd_edge.simulator.impulses import ImpactTrain, place, rising
from asd_edge.simulator.kernels import colour, resonances, stack

CYCLE_HZ = 0.9
OPENS, CLOSES = 0.05, 0.35  # of a cycle
RISE, FALL = 0.015, 0.02  # of a cycle: how fast the gas follows the plunger
CHATTER_HZ = 100.0  # the pull of an AC coil comes and goes twice a mains period
# Noise colours: level in dB over frequency in Hz
GAS_DB = ((300, -25), (1200, -4), (3000, 0), (6000, -3), (8000, -8))
LEAK_DB = ((1500, -35), (3500, -6), (5500, 0), (8000, -2))


class Valve:
    """A solenoid valve on a gas line (equations: docs/simulator.md, Valve)."""

    faults: ClassVar[tuple[str, ...]] = ("leak_hiss", "sticking")
    snr_db: ClassVar[float] = -2.0

    def __init__(self, design: np.random.Generator, sample_rate: int, chance: np.random.Generator) -> None:
        self._chance = chance
        self._rate = sample_rate
        self.turn_hz = CYCLE_HZ * float(design.uniform(0.97, 1.03))
        self._delay = CycleDraws(chance)
        self._before = (-1.0, -1.0)
        self._seconds = np.arange(1, SLICE + 1) / sample_rate
        self._chatter = ImpactTrain(CHATTER_HZ, 0.02, 0.3, chance)
        gas = colour(GAS_DB, sample_rate, design, ripple_db=2.5)
        leak = colour(LEAK_DB, sample_rate, design, ripple_db=2.0)
        struck = [(hertz, design.uniform(15.0, 40.0)) for hertz in design.uniform(600.0, 5000.0, 6)]
        self.kernels = stack(gas, leak, resonances(struck, sample_rate, design))

    def excite(self, motion: Motion) -> NDArray[np.float32]:
        """Return the gas through the open valve, the leak and the plunger's clicks  # [3, n]."""
        sticking = motion.severity("sticking")
        cycle = np.floor(motion.turns)
        draw = self._delay.at(cycle)
        # A sticking plunger starts late, by another amount each time, and then creeps.
        late = 0.02 * draw + sticking * (0.05 + 0.2 * draw)
        creep = 1.0 + 15.0 * sticking
        opened = motion.turns - cycle - OPENS - late
        closed = motion.turns - cycle - CLOSES - late
        flow = smooth_step(opened / (RISE * creep)) * (1.0 - smooth_step(closed / (FALL * creep)))
        pressure = 0.5 + motion.load
        switched_on = np.minimum(1.0, 5.0 * motion.speed)  # a valve that is not driven is closed
        noise = self._chance.standard_normal((2, motion.samples), np.float32)
        noise[0] *= 1.6 * pressure * (0.85 + 0.3 * draw) * flow * switched_on
        noise[1] *= 0.75 * pressure * motion.severity("leak_hiss")
        # Until the plunger is seated, an energised coil shakes it.
        shaken = sticking * (opened > -late) * (opened < RISE * creep)
        chatter = self._chatter.render(self._seconds, 28.0 * shaken.astype(np.float32))
        self._seconds += motion.samples / self._rate
        body = self._clicks(opened, closed, sticking) + chatter
        return np.concatenate([noise, body[np.newaxis]])

    def _clicks(
        self, opened: NDArray[np.float64], closed: NDArray[np.float64], sticking: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        clicks = np.zeros(len(opened), np.float32)
        for phase, before, strength in zip((opened, closed), self._before, (25.0, 18.0), strict=True):
            at = rising(phase, before)
            scatter = 1.0 + 0.15 * self._chance.standard_normal(len(at))
            force = strength * scatter * (1.0 - 0.7 * sticking[at])
            clicks += place(at.astype(np.float64), force, len(opened))
        self._before = (float(opened[-1]), float(closed[-1]))
        return clicks
