"""A simulated machine is one endless recording: seeded, cut anywhere, changed without a break."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asd_edge.errors import SourceError
from asd_edge.simulator import FAULTS, MACHINES, OperatingState, SimulatedMachine

pytestmark = pytest.mark.once

RATE = 16_000


def rms_db(sound: NDArray[np.float32]) -> float:
    return float(10.0 * np.log10(np.mean(np.square(sound, dtype=np.float64))))


@pytest.mark.parametrize("kind", MACHINES)
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 9000), max_size=6))
def test_block_sizes_change_no_sample(kind: str, cuts: list[int]) -> None:
    whole = SimulatedMachine(kind, seed=3).render(9000)
    edges = [0, *sorted(cuts), 9000]
    machine = SimulatedMachine(kind, seed=3)
    blocks = [machine.render(stop - start) for start, stop in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize("kind", MACHINES)
def test_block_sizes_change_no_sample_while_the_state_changes(kind: str) -> None:
    changed = OperatingState(speed=1.3, load=0.9, mounting="B", fault=FAULTS[kind][0], severity=0.8)

    def record(block: int) -> NDArray[np.float32]:
        machine = SimulatedMachine(kind, seed=4)
        before = [machine.render(block) for _ in range(6000 // block)]
        machine.state = changed
        return np.concatenate(before + [machine.render(block) for _ in range(24_000 // block)])

    np.testing.assert_array_equal(record(100), record(6000))


@pytest.mark.parametrize("kind", MACHINES)
def test_the_seed_and_the_unit_decide_everything(kind: str) -> None:
    first = SimulatedMachine(kind, seed=1).render(5000)
    np.testing.assert_array_equal(SimulatedMachine(kind, seed=1).render(5000), first)
    assert not np.array_equal(SimulatedMachine(kind, seed=2).render(5000), first)
    assert not np.array_equal(SimulatedMachine(kind, seed=1, unit=1).render(5000), first)


@pytest.mark.parametrize("kind", ["fan", "pump", "gearbox", "bearing"])
def test_a_change_of_state_makes_no_click(kind: str) -> None:
    # A jump in phase or gain is a step between neighbouring samples. Around the change the largest step may
    # not exceed what the machine does anyway after it, when it is louder; the factory is 60 dB down.
    machine = SimulatedMachine(kind, seed=5, snr_db=60.0)
    machine.render(16_384)
    machine.state = OperatingState(speed=1.2, load=0.8)
    sound = machine.render(5 * RATE)
    steps = np.abs(np.diff(sound))
    assert steps[:8192].max() < 1.15 * steps[3 * RATE :].max()


@pytest.mark.parametrize("kind", MACHINES)
def test_levels_are_those_of_a_recording(kind: str) -> None:
    sound = SimulatedMachine(kind, seed=6).render(10 * RATE)
    assert sound.dtype == np.float32
    assert -33.0 < rms_db(sound) < -20.0
    assert np.abs(sound).max() < 0.9


def test_the_factory_has_the_signal_to_noise_ratio_asked_for() -> None:
    # Subtracting the same machine without a factory leaves the factory. Its loudest part drifts by 4 dB, so that
    # the mean of twenty recordings is known to about 0.8 dB; 2 dB is two and a half of these.
    def factory_db(seed: int, snr_db: float) -> float:
        clean = SimulatedMachine("fan", seed=seed, snr_db=200.0).render(4 * RATE)
        return rms_db(SimulatedMachine("fan", seed=seed, snr_db=snr_db).render(4 * RATE) - clean)

    for snr_db in (-6.0, 6.0):
        levels = [factory_db(seed, snr_db) for seed in range(20)]
        assert np.mean(levels) == pytest.approx(-30.0 - snr_db, abs=2.0)


def test_speed_arrives_with_inertia_and_shifts_the_tones() -> None:
    machine = SimulatedMachine("gearbox", seed=7, snr_db=60.0)
    before = _peak_hz(machine.render(4 * RATE))
    machine.state = OperatingState(speed=1.3)
    machine.render(4 * RATE)
    after = _peak_hz(machine.render(4 * RATE))
    # 1 % for the drift of the speed between the two stretches (deviation 0.6 %).
    assert after / before == pytest.approx(1.3, rel=0.02)


def test_a_machine_that_stands_still_is_silent() -> None:
    for kind in MACHINES:
        machine = SimulatedMachine(kind, seed=8, snr_db=200.0)
        running = rms_db(machine.render(4 * RATE))
        machine.state = OperatingState(speed=0.0)
        machine.render(6 * RATE)  # twelve time constants of the run-down
        assert rms_db(machine.render(2 * RATE) + np.float32(1e-9)) < running - 50.0, kind


def test_ten_seconds_take_little_time() -> None:
    # About 50 ms on one x86 core; ten times that can only be a slip of the code.
    for kind in MACHINES:
        machine = SimulatedMachine(kind, seed=9)
        machine.render(RATE)
        start = time.process_time()
        machine.render(10 * RATE)
        assert time.process_time() - start < 0.5, kind


def test_other_sample_rates_keep_the_frequencies() -> None:
    peaks = [
        _peak_hz(SimulatedMachine("gearbox", seed=7, sample_rate=rate, snr_db=60.0).render(4 * rate), rate)
        for rate in (8000, 16_000, 48_000)
    ]
    assert max(peaks) / min(peaks) < 1.03  # the drift of the speed is drawn anew at each rate


def test_wrong_requests_are_explained() -> None:
    with pytest.raises(SourceError, match="no such simulated machine"):
        SimulatedMachine("toaster", seed=0)
    with pytest.raises(SourceError, match="cannot have this fault"):
        SimulatedMachine("fan", seed=0, state=OperatingState(fault="cavitation"))
    machine = SimulatedMachine("fan", seed=0)
    with pytest.raises(SourceError, match="imbalance, blade_damage"):
        machine.state = replace(machine.state, fault="sticking")
    for wrong in (
        {"speed": -0.1},
        {"load": 1.5},
        {"severity": 2.0},
        {"speed": float("nan")},
        {"mounting": "AB"},
    ):
        with pytest.raises(SourceError, match="expected"):
            OperatingState(**wrong)


def test_the_simulator_needs_numpy_only() -> None:
    code = (
        "import sys, asd_edge.simulator;"
        "print(*sorted(m for m in ('scipy', 'soundfile', 'onnxruntime', 'pydantic') if m in sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == ""


def _peak_hz(sound: NDArray[np.float32], rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    hertz = np.fft.rfftfreq(len(sound), 1.0 / rate)
    audible = hertz > 300.0
    return float(hertz[audible][np.argmax(spectrum[audible])])
