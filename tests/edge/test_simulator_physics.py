"""Machines sound at the frequencies of their geometry, and every fault leaves the signature of its cause.

The references are kinematic formulas and the plain FFT; the factory is 60 dB down unless said otherwise.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.simulator import FAULTS, MACHINES, OperatingState, SimulatedMachine
from asd_edge.simulator.bearing import INNER_RACE, OUTER_RACE, Bearing
from asd_edge.simulator.fan import BLADES, Fan
from asd_edge.simulator.gearbox import PINION_TEETH, WHEEL_TEETH, Gearbox
from asd_edge.simulator.pump import VANES, Pump

pytestmark = pytest.mark.once

RATE = 16_000
SPEED_TOLERANCE = 0.02  # three deviations of the speed's drift, which an order analysis has to follow


def record(
    kind: str,
    fault: str | None = None,
    severity: float = 1.0,
    seconds: int = 10,
    snr_db: float = 60.0,
    seed: int = 3,
) -> NDArray[np.float32]:
    state = OperatingState(fault=fault, severity=severity if fault else 0.0)
    return SimulatedMachine(kind, seed=seed, state=state, snr_db=snr_db).render(seconds * RATE)


def turn_hz(family: type[Fan] | type[Pump] | type[Gearbox] | type[Bearing], kind: str) -> float:
    design = np.random.default_rng([0, MACHINES.index(kind), 0])
    return family(design, RATE, np.random.default_rng(0)).turn_hz


def spectrum(
    sound: NDArray[np.float64] | NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Averaged power spectrum of stretches of 2 s, 0.5 Hz a bin."""
    size = 2 * RATE
    starts = range(0, len(sound) - size + 1, size // 2)
    power = np.mean([np.abs(np.fft.rfft(sound[s : s + size] * np.hanning(size))) ** 2 for s in starts], axis=0)
    return np.asarray(np.fft.rfftfreq(size, 1.0 / RATE), np.float64), np.asarray(power, np.float64)


def line_db(sound: NDArray[np.float64] | NDArray[np.float32], hertz: float) -> float:
    """The strongest line within the tolerance around `hertz`, over the median around it."""
    frequencies, power = spectrum(sound)
    near = np.abs(frequencies / hertz - 1.0) < SPEED_TOLERANCE
    around = np.abs(frequencies / hertz - 1.0) < 0.3
    return float(10.0 * np.log10(power[near].max() / np.median(power[around])))


def envelope(sound: NDArray[np.float32], low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Magnitude of the analytic signal of a band, without its mean."""
    bins = np.fft.fft(sound)
    hertz = np.fft.fftfreq(len(sound), 1.0 / RATE)
    magnitude = np.abs(np.fft.ifft(np.where((hertz > low_hz) & (hertz < high_hz), 2.0 * bins, 0.0)))
    return np.asarray(magnitude - magnitude.mean())


def band_db(sound: NDArray[np.float32], low_hz: float, high_hz: float) -> float:
    frequencies, power = spectrum(sound)
    return float(10.0 * np.log10(power[(frequencies > low_hz) & (frequencies < high_hz)].sum()))


def test_the_ball_passing_orders_are_those_of_the_catalogue() -> None:
    # SKF 6205: 3.585 and 5.415 a turn, as the bearing data of Case Western Reserve University list them.
    assert pytest.approx((3.585, 5.415), abs=0.001) == (OUTER_RACE, INNER_RACE)


def test_the_fan_sounds_at_its_blade_passing_frequency() -> None:
    blade_hz = BLADES * turn_hz(Fan, "fan")
    healthy = record("fan")
    assert line_db(healthy, blade_hz) > 15.0
    # Equal blades make no tone at the multiples of the shaft between their own.
    assert line_db(healthy, blade_hz * 9.0 / 7.0) < 15.0


def test_imbalance_raises_the_tone_of_the_shaft() -> None:
    for kind, family in (("fan", Fan), ("pump", Pump)):
        shaft_hz = turn_hz(family, kind)
        gain = band_db(record(kind, "imbalance"), 0.97 * shaft_hz, 1.03 * shaft_hz)
        gain -= band_db(record(kind), 0.97 * shaft_hz, 1.03 * shaft_hz)
        assert gain > 10.0, kind


def test_a_damaged_blade_sounds_at_every_multiple_of_the_shaft() -> None:
    shaft_hz = turn_hz(Fan, "fan")
    orders = [order for order in range(8, 21) if order % BLADES]
    gains = [
        line_db(record("fan", "blade_damage"), k * shaft_hz) - line_db(record("fan"), k * shaft_hz) for k in orders
    ]
    assert np.median(gains) > 6.0


def test_cavitation_crackles_high_and_in_time_with_the_vanes() -> None:
    cavitating = record("pump", "cavitation")
    assert band_db(cavitating, 3500.0, 7500.0) - band_db(record("pump"), 3500.0, 7500.0) > 15.0
    crackle = envelope(cavitating, 3500.0, 7500.0)
    assert line_db(crackle, VANES * turn_hz(Pump, "pump")) > 8.0
    # Random impulses, not noise: the envelope of Gaussian noise is Rayleigh distributed (kurtosis 3.25).
    assert np.mean(crackle**4) / np.mean(crackle**2) ** 2 > 5.0


def test_the_gear_mesh_carries_the_sidebands_of_its_shafts() -> None:
    shaft_hz = turn_hz(Gearbox, "gearbox")
    healthy = record("gearbox")
    assert line_db(healthy, PINION_TEETH * shaft_hz) > 20.0
    mesh = envelope(healthy, 0.85 * PINION_TEETH * shaft_hz, 1.15 * PINION_TEETH * shaft_hz)
    assert line_db(mesh, shaft_hz) > 15.0
    assert line_db(mesh, shaft_hz * PINION_TEETH / WHEEL_TEETH) > 6.0


def test_a_damaged_tooth_hits_once_a_turn() -> None:
    shaft_hz = turn_hz(Gearbox, "gearbox")
    hits = envelope(record("gearbox", "tooth_damage"), 4000.0, 7000.0)
    assert line_db(hits, shaft_hz) > line_db(envelope(record("gearbox"), 4000.0, 7000.0), shaft_hz) + 10.0


@pytest.mark.parametrize(("fault", "order"), [("outer_race_spall", OUTER_RACE), ("inner_race_spall", INNER_RACE)])
def test_a_spall_rings_at_the_ball_passing_frequency(fault: str, order: float) -> None:
    shaft_hz = turn_hz(Bearing, "bearing")
    band = (2500.0, 6500.0)
    ringing = line_db(envelope(record("bearing", fault), *band), order * shaft_hz)
    assert ringing > line_db(envelope(record("bearing"), *band), order * shaft_hz) + 10.0
    # And not at the frequency of the other race.
    other = OUTER_RACE + INNER_RACE - order
    assert ringing > line_db(envelope(record("bearing", fault), *band), other * shaft_hz) + 6.0


def frame_levels(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """Level of stretches of 20 ms, above 1 kHz, in dB."""
    bins = np.fft.rfft(sound)
    bins[np.fft.rfftfreq(len(sound), 1.0 / RATE) < 1000.0] = 0.0
    high = np.fft.irfft(bins, len(sound))[: len(sound) // 320 * 320]
    return np.asarray(10.0 * np.log10(np.mean(high.reshape(-1, 320) ** 2, axis=1)))


@pytest.mark.parametrize("kind", ["valve", "slider"])
def test_there_is_silence_between_events(kind: str) -> None:
    levels = frame_levels(record(kind, snr_db=100.0))
    assert np.quantile(levels, 0.95) - np.quantile(levels, 0.05) > 35.0


def test_a_leak_hisses_through_the_silence() -> None:
    silent, leaking = (np.quantile(frame_levels(record("valve", f, snr_db=40.0)), 0.1) for f in (None, "leak_hiss"))
    assert leaking - silent > 15.0


def test_a_sticking_valve_stays_open_longer() -> None:
    def open_share(fault: str | None) -> float:
        levels = frame_levels(record("valve", fault, seconds=20))
        return float(np.mean(levels > (np.quantile(levels, 0.1) + np.quantile(levels, 0.95)) / 2.0))

    assert open_share("sticking") > 1.1 * open_share(None)


def test_a_sticking_slider_judders() -> None:
    def roughness(fault: str | None) -> float:
        levels = frame_levels(record("slider", fault))
        moving = levels > np.quantile(levels, 0.4)
        return float(np.median(np.abs(np.diff(levels))[moving[1:] & moving[:-1]]))

    assert roughness("sticking") > 2.0 * roughness(None)


@pytest.mark.parametrize(("kind", "fault"), [(kind, fault) for kind in MACHINES for fault in FAULTS[kind]])
def test_a_fault_grows_with_its_severity_from_nothing(kind: str, fault: str) -> None:
    # The same seed throughout: what differs is the fault alone, measured as the power of the difference.
    healthy = record(kind, seconds=4, snr_db=200.0)
    powers = [
        float(np.mean((record(kind, fault, severity, seconds=4, snr_db=200.0) - healthy) ** 2))
        for severity in (0.0, 0.25, 0.5, 1.0)
    ]
    assert powers[0] == 0.0
    assert powers[1] < powers[2] < powers[3]
    # Blatant at 1: the change is within 13 dB of the whole healthy machine, in bands where that is weaker.
    assert powers[3] > 0.05 * float(np.mean(healthy**2))
