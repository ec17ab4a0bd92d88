"""What is found out about a microphone from its sound: each fault in synthetic sound, none in real or simulated."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asd_edge.config import MicrophoneTable
from asd_edge.simulator import MACHINES, OperatingState, SimulatedMachine
from asd_edge.sources import health
from asd_edge.sources.examination import examine, same_sound
from asd_edge.sources.health import MicrophoneHealth, NoiseFloor

RATE = 16_000


def noise(seconds: float, *, rms: float = 500.0, seed: int = 1, rate: int = RATE) -> NDArray[np.int16]:
    return np.rint(rms * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.int16)


def tone(seconds: float, *, hertz: float, amplitude: float) -> NDArray[np.float64]:
    return amplitude * np.sin(2.0 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def clip(samples: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.clip(np.rint(samples), -32_768, 32_767).astype(np.int16)


def heard(*parts: NDArray[np.int16], health: MicrophoneHealth | None = None, block: int = 512) -> MicrophoneHealth:
    """A microphone's health after it gave this sound, in blocks."""
    health = health or MicrophoneHealth(MicrophoneTable())
    sound = np.concatenate(parts)
    for start in range(0, len(sound), block):
        health.hear(sound[start : start + block, None], rate=RATE)
    return health


# What is measured of a second.


@pytest.mark.parametrize("rms", [1.0, 30.0, 3000.0])
def test_the_level_is_that_of_the_sound_whatever_its_offset(rms: float) -> None:
    wanted = 20.0 * math.log10(rms / 32_768.0)
    # 0.1 dB: a second of noise is known to 4.3/√(16000/2) = 0.05 dB, and rounding adds 1/12 to a power of 1, 0.35 dB.
    for offset in (0, 2000):
        assert examine(noise(1.0, rms=rms) + np.int16(offset)).level_dbfs == pytest.approx(wanted, abs=0.1 + 0.35 / rms)


def test_the_offset_is_the_mean() -> None:
    assert examine(noise(1.0) + np.int16(8192)).dc == pytest.approx(0.25, abs=0.001)


@pytest.mark.parametrize("over_db", [0.5, 3.0, 12.0])
def test_the_clipped_share_of_a_sine_is_that_of_its_formula(over_db: float) -> None:
    ratio = 10.0 ** (over_db / 20.0)  # amplitude over full scale
    sine = clip(tone(1.0, hertz=97.0, amplitude=32_767.5 * ratio))
    # |A·sin φ| ≥ 1 for a share of (2/π)·acos(1/A) of all phases; a run may gain or lose a sample at each end.
    assert examine(sine).clipped_share == pytest.approx(2.0 / np.pi * math.acos(1.0 / ratio), abs=4 * 97 / RATE)


def test_a_peak_that_just_reaches_full_scale_is_not_clipped() -> None:
    sound = noise(1.0)
    sound[1000], sound[5000] = 32_767, -32_768
    assert examine(sound).clipped_share == 0.0


@pytest.mark.parametrize("held", [4, 8, 100])
def test_samples_that_are_held_are_stuck(held: int) -> None:
    assert examine(np.repeat(noise(1.0), held)[:RATE]).stuck


@pytest.mark.parametrize("bit", range(1, 13))
@pytest.mark.parametrize("value", [0, 1])
def test_every_bit_that_hangs_between_others_is_found(bit: int, value: int) -> None:
    sound = noise(1.0, rms=5000.0).view(np.uint16)
    sound = sound | np.uint16(1 << bit) if value else sound & np.uint16(~(1 << bit) & 0xFFFF)
    assert examine(sound.view(np.int16)).stuck


@pytest.mark.parametrize("value", [-32_768, -1, 0, 77, 32_767])
def test_a_value_that_hangs_is_silence_whatever_it_is(value: int) -> None:
    """A converter of 24 bits gives -1 in a quiet room, when the rest is cut off."""
    found = examine(np.full(RATE, value, np.int16))
    assert (found.level_dbfs, found.stuck) == (-120.0, False)


NORMAL: dict[str, NDArray[np.int16]] = {
    "the noise of a good microphone in a quiet room": noise(1.0, rms=1.5),
    "hardly anything": noise(1.0, rms=0.3),
    "faint hum": clip(tone(1.0, hertz=50.0, amplitude=4.0) + noise(1.0, rms=0.7)),
    "loud hum": clip(tone(1.0, hertz=50.0, amplitude=20_000.0)),
    "faint noise with bangs": np.where(np.arange(RATE) % 4000 < 200, noise(1.0, rms=6000.0), noise(1.0, rms=0.4)),
    "a converter of 12 bits": (noise(1.0) // 16 * 16).astype(np.int16),
    "such a converter in a quiet room": 16 * noise(1.0, rms=0.3),
    "a quiet room behind a digital gain": np.rint(13.4 * noise(1.0, rms=0.3)).astype(np.int16),
    "an offset above all sound": noise(1.0, rms=100.0) + np.int16(3000),
    "a square wave": clip(12_345 * np.sign(tone(1.0, hertz=97.3, amplitude=1.0)) + noise(1.0, rms=1.0)),
    "overload": clip(tone(1.0, hertz=97.0, amplitude=300_000.0)),
}


@pytest.mark.parametrize("name", NORMAL)
def test_odd_sound_is_not_stuck(name: str) -> None:
    assert not examine(NORMAL[name]).stuck


@pytest.mark.parametrize("gain", [1.0, -0.3])
@pytest.mark.parametrize(("apart_db", "same"), [(40.0, True), (35.0, True), (20.0, False), (0.0, False)])
def test_channels_are_the_same_when_hardly_anything_differs(gain: float, apart_db: float, same: bool) -> None:
    own = 3000.0 * np.random.default_rng(1).standard_normal(4096)
    other = gain * (own + 10.0 ** (-apart_db / 20.0) * 3000.0 * np.random.default_rng(2).standard_normal(4096))
    strange = 3000.0 * np.random.default_rng(3).standard_normal(4096)
    pcm = np.stack([strange, own, other], axis=1).astype(np.int16)
    assert same_sound(pcm, 1, [0, 2]) == ([2] if same else [])
    assert same_sound(np.zeros_like(pcm), 1, [0, 2]) == []


def test_hum_in_two_cables_does_not_make_them_one() -> None:
    hum = tone(0.5, hertz=50.0, amplitude=20_000.0)
    pcm = np.stack([clip(hum + noise(0.5, rms=300.0, seed=seed)) for seed in (1, 2)], axis=1)
    assert np.corrcoef(pcm.T.astype(float))[0, 1] > 0.999  # which is why the difference is compared
    assert same_sound(pcm, 0, [1]) == []


# What becomes of it in time.

OVERLOADED = clip(tone(1.0, hertz=97.0, amplitude=60_000.0))
FAULTS: dict[str, tuple[NDArray[np.int16], int, int]] = {  # a second of it, and the seconds after which it stands, ends
    "silent": (np.zeros(RATE, np.int16), 2, 5),
    "stuck": (np.repeat(noise(1.0), 8)[:RATE], 2, 5),
    "dc_offset": (noise(1.0) + np.int16(20_000), 2, 5),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_stands_after_its_time_and_ends_after_its_time(fault: str) -> None:
    second, on_s, off_s = FAULTS[fault]
    health = heard(noise(3.0), *[second] * (on_s - 1), noise(1.0))  # a second less, and it was nothing
    assert health.report.faults == ()
    assert heard(*[second] * on_s, health=health).report.faults == (fault,)
    assert heard(noise(off_s - 1), second, noise(off_s - 1), health=health).report.faults == (fault,)
    assert heard(noise(1.0), health=health).report.faults == ()


@pytest.mark.parametrize(
    ("second", "warning"),
    [
        (np.concatenate([OVERLOADED[:100], noise(1.0)[100:]]), "clipping"),
        (OVERLOADED, "clipping"),  # a machine that roars: hiding that would hide the anomaly
        (noise(1.0) + np.int16(5000), "dc_offset"),
    ],
)
def test_what_leaves_something_to_hear_is_a_warning(second: NDArray[np.int16], warning: str) -> None:
    health = heard(*[second] * 9)
    assert (health.report.faults, health.report.warnings) == ((), ())
    assert heard(second, health=health).report.warnings == (warning,)
    assert heard(second, health=health).report.faults == ()


def test_silence_begins_where_the_device_file_says() -> None:
    faint = noise(5.0, rms=1.0)  # -90.3 dBFS, and rounding adds 0.35 dB
    assert heard(faint).report.faults == ()
    assert heard(faint, health=MicrophoneHealth(MicrophoneTable(silent_below_dbfs=-85.0))).report.faults == ("silent",)


def test_nothing_is_said_where_nothing_is_asked_but_the_level() -> None:
    health = heard(np.zeros(5 * RATE, np.int16), health=MicrophoneHealth(MicrophoneTable(check=False)))
    assert (health.report.faults, health.report.level_dbfs) == ((), -120.0)


@pytest.mark.parametrize("block", [1, 100, 16_000, 50_000])
def test_the_length_of_blocks_does_not_matter(block: int) -> None:
    sound = np.concatenate([noise(1.3), np.zeros(3 * RATE, np.int16), noise(0.9)])
    assert heard(sound, block=block).report == heard(sound).report


def test_a_channel_that_is_another_machines_is_a_fault_after_a_minute() -> None:
    health, own = MicrophoneHealth(MicrophoneTable()), noise(1.0)
    both = np.stack([noise(1.0, seed=9), own, own], axis=1)
    for second in range(61):
        faults = health.hear(both, rate=RATE, channel=1, others=[0, 2])
        assert faults == (("same_as_channel_2",) if second >= 59 else ())


def test_what_is_lost_is_counted() -> None:
    health = heard(noise(1.0))
    health.lose(0.125)
    health.lose(0.25)
    health.reopen(3.0)
    assert (health.report.overruns, health.report.reopened, health.report.lost_s) == (2, 1, 3.375)


SLOTS = 144  # of a day


def risen(levels: Callable[[int], float], days: int) -> list[bool]:
    """Whether the floor had risen after each ten minutes of so many days, at these levels."""
    found, said = NoiseFloor(), []
    for slot in range(days * SLOTS):
        found.push(levels(slot))
        said.append(found.risen)
    return said


def working_week(slot: int) -> float:
    """A machine at -30 dBFS from Monday to Friday, by day and night; on Saturday and Sunday, when this begins, the
    microphone's own noise is heard."""
    return -70.0 if slot // SLOTS % 7 < 2 else -30.0


@pytest.fixture
def slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asd_edge.sources.health._SLOT_S", 1)  # every level is that of ten minutes


@pytest.mark.usefixtures("slots")
def test_a_floor_that_has_risen_for_a_week_is_a_warning() -> None:
    assert not any(risen(working_week, 23))
    worse = risen(lambda slot: working_week(slot) + 12.0 * (slot >= 7 * SLOTS), 14)
    assert worse == [False] * (14 * SLOTS - 5 * SLOTS - 1) + [True] * (5 * SLOTS + 1)  # the last good pause is over
    assert not any(risen(lambda slot: working_week(slot) + 8.0 * (slot >= 7 * SLOTS), 14))


@pytest.mark.usefixtures("slots")
def test_the_floor_is_the_lowest_level_of_a_week() -> None:
    found = NoiseFloor()
    assert found.lowest_dbfs is None
    for slot in range(8 * SLOTS):
        found.push(-70.0 if slot == 0 else -30.0)
        assert found.lowest_dbfs == (-70.0 if slot < 7 * SLOTS else -30.0)


def test_a_muted_microphone_has_no_floor() -> None:
    health = MicrophoneHealth(MicrophoneTable())
    for _ in range(700):
        health.hear(np.zeros((100, 1), np.int16), rate=100)
    assert health.report.floor_dbfs is None
    for second in range(700):
        health.hear(noise(1.0, rms=100.0, seed=second, rate=100)[:, None], rate=100)
    # Of 100 samples the level is known to 0.6 dB, and the floor is the quantile of 5 % of that.
    assert health.report.floor_dbfs == pytest.approx(20.0 * math.log10(100 / 32_768) - 1.0, abs=0.5)


@pytest.mark.usefixtures("slots")
def test_a_floor_that_falls_is_no_sign_of_anything() -> None:
    assert not any(risen(lambda slot: -30.0 if slot < 8 * SLOTS else -70.0, 16))


# What is normal.


@pytest.mark.parametrize("kind", sorted(MACHINES))
def test_simulated_machines_have_good_microphones(kind: str) -> None:
    for state in (OperatingState(), OperatingState(speed=0.0), OperatingState(load=1.0)):
        health = heard(clip(SimulatedMachine(kind, seed=1, state=state).render(12 * RATE) * 32_768.0))
        assert (health.report.faults, health.report.warnings) == ((), ()), state


def test_real_recordings_have_good_microphones(real_data: Path) -> None:
    files = sorted(path for suffix in ("wav", "flac") for path in real_data.rglob(f"*.{suffix}"))
    assert files
    for path in files[:: max(1, len(files) // 60)]:
        pcm, rate = soundfile.read(path, dtype="int16", always_2d=True)
        health = MicrophoneHealth(MicrophoneTable())
        for _ in range(2):  # long enough for every fault
            health.hear(pcm, rate=rate)
        assert health.report.faults == (), path


def test_the_documented_names_and_limits_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "microphones.md").read_text()
    faults, warnings = text.partition("## Faults")[2].partition("## Warnings")[::2]
    documented = re.findall(r"^\| `(\w+)` \| .* \| (\d+) s \| (\d+) s \|$", faults, re.M)
    lasting = [(name, str(on_s), str(off_s)) for name, (_, on_s, off_s) in FAULTS.items()]
    assert documented == [*lasting, ("same_as_channel_N", str(health._SURELY_S), str(health._SURELY_S))]
    names = re.findall(r"^\| `(\w+)` \|", warnings.partition("## ")[0], re.M)
    assert names == ["clipping", "dc_offset", "noise_floor", "rate", "unusable_file"]
    assert f"{health._CLIPPED_WARNING:.1%} of the samples".replace("%", " %") in warnings
