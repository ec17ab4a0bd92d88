"""A simulated machine heard through its mounting in a factory: endless, seeded, changeable while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import SourceError
from asd_edge.simulator.background import Background
from asd_edge.simulator.bearing import Bearing
from asd_edge.simulator.drift import GainDrift
from asd_edge.simulator.drive import SLICE, Drive
from asd_edge.simulator.family import Family
from asd_edge.simulator.fan import Fan
from asd_edge.simulator.fir import FirMix
from asd_edge.simulator.gearbox import Gearbox
from asd_edge.simulator.kernels import mounting
from asd_edge.simulator.pump import Pump
from asd_edge.simulator.slider import Slider
from asd_edge.simulator.state import OperatingState
from asd_edge.simulator.valve import Valve

_FAMILIES: dict[str, type[Fan | Pump | Gearbox | Bearing | Valve | Slider]] = {
    "fan": Fan,
    "pump": Pump,
    "gearbox": Gearbox,
    "bearing": Bearing,
    "valve": Valve,
    "slider": Slider,
}
MACHINES: tuple[str, ...] = tuple(_FAMILIES)
FAULTS: dict[str, tuple[str, ...]] = {kind: family.faults for kind, family in _FAMILIES.items()}

LEVEL_DBFS = -30.0  # rms of the healthy machine at speed 1, load 0.5, mounting A, without the factory
MACHINE_DRIFT_DB, MACHINE_DRIFT_S = 0.7, 30.0  # temperature, lubrication, supply voltage
GAIN_SPREAD_DB = 0.5  # a microphone is never clamped twice in quite the same place
_REFERENCE_SLICES = 64


class SimulatedMachine:
    """An endless recording of one machine; equal seeds and equal states give equal samples.

    The sound is computed in slices of `SLICE` samples whatever `render` is asked for, so block sizes change
    nothing. A new `state` is reached with inertia and without a jump in any phase, from the next slice on.

    Args:
        kind: one of `MACHINES`.
        seed: what happens in this recording: noise, drift, impacts.
        state: the operating state at the first sample; assign `machine.state` to change it.
        sample_rate: samples a second.
        snr_db: level of the rated healthy machine above the factory, rms over rms; None for what is usual.
        unit: which copy of this kind: tooth errors, resonances, hall. Independent of `seed`.

    Raises:
        SourceError: an unknown kind, or a fault this kind cannot have.
    """

    def __init__(
        self,
        kind: str,
        *,
        seed: int | Sequence[int],
        state: OperatingState | None = None,
        sample_rate: int = 16_000,
        snr_db: float | None = None,
        unit: int = 0,
    ) -> None:
        if kind not in _FAMILIES:
            raise SourceError(
                "There is no such simulated machine",
                found=kind,
                expected=", ".join(MACHINES),
                remedy="Choose one of these machines.",
            )
        self.kind = kind
        self.sample_rate = sample_rate
        self._unit = unit
        self._state = OperatingState()
        self.state = state or OperatingState()
        seeds = np.random.SeedSequence(seed).spawn(3)
        drive_rng, machine_rng, factory_rng = (np.random.default_rng(child) for child in seeds)
        self._family = _family(kind, unit, sample_rate, machine_rng)
        self._drive = Drive(self._state, self._family.turn_hz, sample_rate, drive_rng)
        self._level = GainDrift(MACHINE_DRIFT_DB, MACHINE_DRIFT_S, SLICE / sample_rate, drive_rng)
        self._mounting = self._state.mounting
        self._paths = FirMix(_heard(kind, unit, sample_rate, self._mounting))
        rated = 10.0 ** ((LEVEL_DBFS + GAIN_SPREAD_DB * float(drive_rng.standard_normal())) / 20.0)
        self._gain = np.float32(rated / _reference_rms(kind, unit, sample_rate))
        hall = np.random.default_rng([unit, MACHINES.index(kind), 2])
        self._background = Background(hall, sample_rate, factory_rng)
        snr = self._family.snr_db if snr_db is None else snr_db
        self._background_gain = np.float32(rated * 10.0 ** (-snr / 20.0))
        self._ready = np.zeros(0, np.float32)

    @property
    def state(self) -> OperatingState:
        """What the machine is told to do; assigning takes effect from the next slice on."""
        return self._state

    @state.setter
    def state(self, state: OperatingState) -> None:
        if state.fault is not None and state.fault not in FAULTS[self.kind]:
            raise SourceError(
                f"A simulated {self.kind} cannot have this fault",
                found=state.fault,
                expected=", ".join(FAULTS[self.kind]),
                remedy="Choose one of these faults, or none.",
            )
        self._state = state

    def render(self, n: int) -> NDArray[np.float32]:
        """Return the next n samples, full scale is 1  # [n]."""
        parts, missing = [self._ready], n - len(self._ready)
        while missing > 0:
            parts.append(self._slice())
            missing -= SLICE
        sound = np.concatenate(parts)
        self._ready = sound[n:].copy()
        return sound[:n]

    def _slice(self) -> NDArray[np.float32]:
        if self._state.mounting != self._mounting:
            self._mounting = self._state.mounting
            self._paths.use(_heard(self.kind, self._unit, self.sample_rate, self._mounting))
        motion = self._drive.advance(self._state)
        sound = self._paths.render(self._family.excite(motion)) * (self._gain * self._level.line(SLICE))
        sound += self._background.render() * self._background_gain
        return np.asarray(np.clip(sound, -1.0, 1.0), np.float32)


def _family(kind: str, unit: int, sample_rate: int, chance: np.random.Generator) -> Family:
    design = np.random.default_rng([unit, MACHINES.index(kind), 0])
    return _FAMILIES[kind](design, sample_rate, chance)


@lru_cache(maxsize=64)
def _heard(kind: str, unit: int, sample_rate: int, letter: str) -> NDArray[np.float64]:
    """Return the machine's paths through a mounting to the microphone  # [paths, taps]."""
    paths = _family(kind, unit, sample_rate, np.random.default_rng(0)).kernels
    design = np.random.default_rng([unit, MACHINES.index(kind), 1, ord(letter)])
    response = mounting(letter, sample_rate, design)
    taps = paths.shape[1] + len(response) - 1
    size = 1 << (taps - 1).bit_length()
    heard = np.fft.irfft(np.fft.rfft(paths, size, axis=1) * np.fft.rfft(response, size), size, axis=1)
    return heard[:, :taps]


@lru_cache(maxsize=64)
def _reference_rms(kind: str, unit: int, sample_rate: int) -> float:
    """Return the rms of the healthy rated machine on mounting A before any gain."""
    family = _family(kind, unit, sample_rate, np.random.default_rng(0))
    drive = Drive(OperatingState(), family.turn_hz, sample_rate, None)
    paths = FirMix(_heard(kind, unit, sample_rate, "A"))
    sound = [paths.render(family.excite(drive.advance(OperatingState()))) for _ in range(_REFERENCE_SLICES)]
    return float(np.sqrt(np.mean(np.square(np.concatenate(sound), dtype=np.float64))))
