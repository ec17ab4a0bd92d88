"""Centrifugal pump: vane passing tones and flow; cavitation crackles in the high band."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from asd_edge.simulator.drift import GainDrift
from asd_edge.simulator.drive import Motion
from asd_edge.simulator.impulses import place
from asd_edge.simulator.kernels import colour, direct, stack
from asd_edge.simulator.oscillator import harmonics, partials, phasor

VANES = 6
ROTATION_HZ = 24.5
ROTOR_SLOTS = 28
BUBBLES_HZ = 1500.0  # collapses a second at severity 1: few enough to crackle, too many to count
CLOUD_DB, CLOUD_S = 3.0, 0.3  # bubbles come in clouds
# Noise colours: level in dB over frequency in Hz
FLOW_DB = ((50, -8), (200, 0), (900, 0), (3000, -14), (8000, -30))
COLLAPSE_DB = ((800, -40), (2500, -8), (4500, 0), (6500, 0), (8000, -6))


class Pump:
    """A centrifugal pump with its motor (equations: docs/simulator.md, Pump)."""

    faults: ClassVar[tuple[str, ...]] = ("cavitation", "imbalance")
    snr_db: ClassVar[float] = 1.0

    def __init__(self, design: np.random.Generator, sample_rate: int, chance: np.random.Generator) -> None:
        self._chance = chance
        self._rate = sample_rate
        self.turn_hz = ROTATION_HZ * float(design.uniform(0.97, 1.03))
        self._vane_tones = partials(8, 1.0, design)
        self._slot_tones = partials(4, 0.7, design)
        self._rotor_tones = partials(8, 0.5, design)
        self._cloud: GainDrift | None = None
        flow = colour(FLOW_DB, sample_rate, design, ripple_db=2.5)
        collapse = colour(COLLAPSE_DB, sample_rate, design, ripple_db=2.0)
        self.kernels = stack(direct(), flow, collapse)

    def excite(self, motion: Motion) -> NDArray[np.float32]:
        """Return tones, flow noise and collapsing bubbles  # [3, n]."""
        imbalance = motion.severity("imbalance")
        rotor = phasor(motion.turns)
        vanes = phasor(VANES * motion.turns)
        whirl = 1.0 + 0.6 * imbalance * rotor.real
        tones = 0.6 * motion.speed**2 * (0.6 + 0.8 * motion.load) * whirl * harmonics(vanes, self._vane_tones)
        tones += 0.25 * motion.speed * whirl * harmonics(phasor(ROTOR_SLOTS * motion.turns), self._slot_tones)
        tones += (0.1 + 1.4 * imbalance) * motion.speed**2 * harmonics(rotor, self._rotor_tones)
        flow = self._chance.standard_normal(motion.samples, np.float32)
        flow *= 0.7 * motion.speed**2.5 * (0.7 + 0.6 * motion.load) * whirl
        return np.stack([tones, flow, self._bubbles(motion, vanes)])

    def _bubbles(self, motion: Motion, vanes: NDArray[np.complex64]) -> NDArray[np.float32]:
        # A Poisson process of exponential strengths, modulated by the suction side of each vane.
        # Under load a few bubbles collapse in every pump.
        cavitation = 0.12 * motion.load + motion.severity("cavitation")
        if self._cloud is None:
            self._cloud = GainDrift(CLOUD_DB, CLOUD_S, motion.samples / self._rate, self._chance)
        cloud = self._cloud.line(motion.samples)
        count = self._chance.poisson(BUBBLES_HZ / self._rate * motion.samples)
        positions = np.sort(self._chance.uniform(0.0, motion.samples, count))
        strengths = self._chance.exponential(1.0, count)
        rate = self._rate / BUBBLES_HZ / 2.0  # E[strength²] = 2: unit power before the envelope
        envelope = 1.5 * cavitation * cloud * motion.speed**2 * (1.0 + 0.8 * vanes.real) * np.float32(np.sqrt(rate))
        return np.asarray(place(positions, strengths, motion.samples) * envelope, np.float32)
