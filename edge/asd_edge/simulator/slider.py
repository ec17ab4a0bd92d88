"""Slide rail: a carriage driven to and fro by a screw, with stops between the strokes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from asd_edge.simulator.cycles import CycleDraws
from asd_edge.simulator.drive import Motion
from asd_edge.simulator.impulses import ImpactTrain, place, rising
from asd_edge.simulator.kernels import colour, direct, resonances, stack
from asd_edge.simulator.oscillator import harmonics, partials, phasor

CYCLE_HZ = 0.45
STARTS = (0.03, 0.52)  # of a cycle: out and back
STROKE = 0.36  # of a cycle
SCREW_TURNS = 26.0  # a stroke
BALLS = 2.4  # balls entering the load zone, a turn of the screw
JUDDER = 22.0  # stick-slip jerks a stroke
# Noise colours: level in dB over frequency in Hz
ROLLING_DB = ((100, -8), (500, -2), (2000, 0), (4000, -4), (8000, -16))


class Slider:
    """A ball-screw slide (equations: docs/simulator.md, Slider)."""

    faults: ClassVar[tuple[str, ...]] = ("sticking", "bearing_spall")
    snr_db: ClassVar[float] = 1.0

    def __init__(self, design: np.random.Generator, sample_rate: int, chance: np.random.Generator) -> None:
        self._chance = chance
        self.turn_hz = CYCLE_HZ * float(design.uniform(0.97, 1.03))
        self._screw_per_sample = SCREW_TURNS / STROKE * self.turn_hz / sample_rate
        self._delay = CycleDraws(chance)
        self._travel = 0.0
        self._before = [-1.0] * 4
        self._screw_tones = partials(6, 0.8, design)
        self._balls = ImpactTrain(BALLS, 0.02, 0.3, chance)
        self._jerks = ImpactTrain(JUDDER / SCREW_TURNS, 0.15, 0.3, chance)
        rolling = colour(ROLLING_DB, sample_rate, design, ripple_db=2.5)
        struck = [(hertz, design.uniform(8.0, 20.0)) for hertz in design.uniform(150.0, 1800.0, 5)]
        ringing = [(hertz, design.uniform(20.0, 40.0)) for hertz in design.uniform(1800.0, 6000.0, 5)]
        frame, rail = (resonances(modes, sample_rate, design) for modes in (struck, ringing))
        self.kernels = stack(direct(), rolling, frame, rail)

    def excite(self, motion: Motion) -> NDArray[np.float32]:
        """Return the screw's tones, rolling noise, thuds on the frame and impacts on the rail  # [4, n]."""
        sticking, spall = motion.severity("sticking"), motion.severity("bearing_spall")
        cycle = np.floor(motion.turns)
        draw = self._delay.at(cycle)
        late = 0.01 * draw + 0.05 * sticking * draw
        # The same way in a longer time: friction draws the stroke out.
        stroke = STROKE * (1.0 + 0.15 * sticking)
        progress = [(motion.turns - cycle - start - late) / stroke for start in STARTS]
        out, back = progress
        velocity = np.sqrt(np.sin(np.pi * np.clip(np.where(back > 0.0, back, out), 0.0, 1.0)))
        steps = velocity * motion.speed * self._screw_per_sample
        travel = self._travel + np.cumsum(steps, dtype=np.float64)
        self._travel = float(travel[-1])
        moving = (velocity * motion.speed).astype(np.float32)
        weight = 0.6 + 0.8 * motion.load
        screw = phasor(12.0 * travel)
        tones = 0.8 * moving * weight * harmonics(screw, self._screw_tones)
        rolling = self._chance.standard_normal(motion.samples, np.float32) * (1.2 * moving**1.5 * weight)
        hit = 22.0 * moving * weight
        rail = self._balls.render(travel, spall * hit)
        jerks = self._jerks.render(travel, sticking * hit * 2.0)
        thuds = self._thuds(progress, weight * motion.speed)
        return np.stack([tones, rolling, thuds + jerks, rail + 0.5 * jerks])

    def _thuds(self, progress: list[NDArray[np.float64]], strength: NDArray[np.float32]) -> NDArray[np.float32]:
        # The drive jerks the carriage at the start and stops it at the end of each stroke.
        thuds = np.zeros(len(strength), np.float32)
        phases = [phase for x in progress for phase in (x, x - 1.0)]
        for index, (phase, force) in enumerate(zip(phases, (10.0, 18.0) * 2, strict=True)):
            at = rising(phase, self._before[index])
            scatter = 1.0 + 0.15 * self._chance.standard_normal(len(at))
            thuds += place(at.astype(np.float64), force * scatter * strength[at], len(strength))
            self._before[index] = float(phase[-1])
        return thuds
