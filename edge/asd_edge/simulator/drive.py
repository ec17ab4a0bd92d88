"""What drives a machine: speed, load and fault follow their commanded values slowly and drift around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.simulator.drift import Drift
from asd_edge.simulator.state import OperatingState

SLICE = 2048
"""Samples a machine computes at a time, whatever is asked for: the reason why block sizes change nothing."""

INERTIA_S = 0.5  # time constant of run-up and run-down
ONSET_S = 0.2  # a fault switched on fades in, so that the switch itself is no click
SPEED_DRIFT = 0.006  # relative standard deviation: slip of an induction motor with mains and temperature
LOAD_DRIFT = 0.06  # absolute standard deviation: the process behind the machine is never the same twice
DRIFT_S = 20.0  # longer than a clip: one clip is one draw, a live stream visits them all


@dataclass(frozen=True, slots=True)
class Motion:
    """What the machine does during one slice of n samples.

    Attributes:
        turns: shaft angle in revolutions since the start (cycles, for a valve or a slider), never jumping.
        speed: relative speed, 0 or more.
        load: relative load, 0 or more.
        severities: severity of each fault that is present at some sample.
    """

    turns: NDArray[np.float64]  # [n]
    speed: NDArray[np.float32]  # [n]
    load: NDArray[np.float32]  # [n]
    severities: Mapping[str, NDArray[np.float32]]  # each [n]

    def severity(self, fault: str) -> NDArray[np.float32]:
        """Return the severity of `fault` at each sample  # [n]."""
        absent = np.zeros(len(self.turns), np.float32)
        return self.severities.get(fault, absent)

    @property
    def samples(self) -> int:
        """The number of samples of this slice."""
        return len(self.turns)


class Drive:
    """Turns commanded states into continuous motion, one slice at a time.

    Args:
        state: where the machine already is at the first sample.
        turn_hz: revolutions (cycles) a second at speed 1.
        sample_rate: samples a second.
        rng: the randomness of the drift; None for a machine that holds its state exactly.
    """

    def __init__(
        self, state: OperatingState, turn_hz: float, sample_rate: int, rng: np.random.Generator | None
    ) -> None:
        self._turn_hz = turn_hz
        self._rate = sample_rate
        self._ramp = np.arange(1, SLICE + 1, dtype=np.float64) / SLICE  # [n], ends at 1
        duration = SLICE / sample_rate
        self._speed_drift = Drift(SPEED_DRIFT if rng else 0.0, DRIFT_S, duration, rng)
        self._load_drift = Drift(LOAD_DRIFT if rng else 0.0, DRIFT_S, duration, rng)
        self._inertia = float(np.exp(-duration / INERTIA_S))
        self._onset = float(np.exp(-duration / ONSET_S))
        self._turns = 0.0 if rng is None else float(rng.uniform())
        self._base = (state.speed, state.load)
        self._severities = {state.fault: state.severity} if state.fault else {}
        self._speed = state.speed * (1.0 + self._speed_drift.value)
        self._load = max(0.0, state.load + self._load_drift.value)

    def advance(self, state: OperatingState) -> Motion:
        """Move one slice towards `state`."""
        speed, load = (
            wanted + (now - wanted) * self._inertia
            for now, wanted in zip(self._base, (state.speed, state.load), strict=True)
        )
        self._base = (speed, load)
        speed_line = self._line(self._speed, speed * (1.0 + self._speed_drift.advance()))
        load_line = self._line(self._load, max(0.0, load + self._load_drift.advance()))
        self._speed, self._load = float(speed_line[-1]), float(load_line[-1])
        turns = self._turns + np.cumsum(speed_line) * (self._turn_hz / self._rate)
        self._turns = float(turns[-1])
        return Motion(turns, speed_line.astype(np.float32), load_line.astype(np.float32), self._faults(state))

    def _faults(self, state: OperatingState) -> dict[str, NDArray[np.float32]]:
        lines = {}
        for fault in sorted({*self._severities, *([state.fault] if state.fault else [])}):
            now = self._severities.get(fault, 0.0)
            wanted = state.severity if fault == state.fault else 0.0
            after = wanted + (now - wanted) * self._onset
            after = after if after > 1e-3 else 0.0
            lines[fault] = self._line(now, after).astype(np.float32)
            self._severities[fault] = after
        self._severities = {fault: value for fault, value in self._severities.items() if value > 0.0}
        return lines

    def _line(self, start: float, stop: float) -> NDArray[np.float64]:
        return start + (stop - start) * self._ramp
