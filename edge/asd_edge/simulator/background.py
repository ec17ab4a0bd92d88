"""The factory around the machine: rumble, air, mains hum, a neighbour, and now and then a dropped tool."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asd_edge.simulator.drift import GainDrift
from asd_edge.simulator.drive import SLICE
from asd_edge.simulator.fir import FirMix
from asd_edge.simulator.kernels import colour, direct, resonances, stack
from asd_edge.simulator.oscillator import harmonics, partials, phasor

RUMBLE, AIR, HUM, NEIGHBOUR = 0.80, 0.45, 0.20, 0.33  # rms of each part; their squares sum to about 1
DRIFT_DB, NEIGHBOUR_DRIFT_DB, DRIFT_S = 4.0, 6.0, 25.0
CLANKS_HZ = 0.06
# Noise colours: level in dB over frequency in Hz
RUMBLE_DB = ((30, 0), (100, 0), (500, -8), (2000, -20), (8000, -42))
AIR_DB = ((200, -20), (1000, -3), (3000, 0), (8000, -8))


class Background:
    """Factory sound of unit power, apart from its slow drift and rare clanks.

    Args:
        design: draws the hall: colours, the neighbour's speed, what a dropped tool sounds like.
        sample_rate: samples a second.
        chance: draws what happens in it.
    """

    def __init__(self, design: np.random.Generator, sample_rate: int, chance: np.random.Generator) -> None:
        self._chance = chance
        self._rate = sample_rate
        duration = SLICE / sample_rate
        drifts_db = (DRIFT_DB, DRIFT_DB, DRIFT_DB, NEIGHBOUR_DRIFT_DB)
        self._gains = [GainDrift(drift_db, DRIFT_S, duration, chance) for drift_db in drifts_db]
        self._hum = partials(6, 0.5, design, spread_db=6.0)
        self._neighbour = partials(12, 0.7, design)
        self._neighbour_hz = float(design.uniform(35.0, 60.0))
        self._seconds = float(chance.uniform(0.0, 60.0))
        rumble = colour(RUMBLE_DB, sample_rate, design, ripple_db=2.0)
        air = colour(AIR_DB, sample_rate, design, ripple_db=1.5)
        struck = [(hertz, design.uniform(30.0, 80.0)) for hertz in design.uniform(700.0, 4500.0, 6)]
        self._mix = FirMix(stack(direct(), rumble, air, resonances(struck, sample_rate, design)))

    def render(self) -> NDArray[np.float32]:
        """Return the next slice  # [SLICE]."""
        rumble, air, hum, neighbour = (gain.line(SLICE) for gain in self._gains)
        seconds = self._seconds + np.arange(1, SLICE + 1) / self._rate
        self._seconds = float(seconds[-1])
        noise = self._chance.standard_normal((2, SLICE), np.float32)
        noise[0] *= RUMBLE * rumble
        noise[1] *= AIR * air
        tones = HUM * hum * harmonics(phasor(50.0 * seconds), self._hum)
        tones += NEIGHBOUR * neighbour * harmonics(phasor(self._neighbour_hz * seconds), self._neighbour)
        clanks = np.zeros(SLICE, np.float32)
        if self._chance.uniform() < CLANKS_HZ * SLICE / self._rate:
            clanks[self._chance.integers(SLICE)] = self._chance.uniform(5.0, 40.0)
        return self._mix.render(np.stack([tones, noise[0], noise[1], clanks]))
