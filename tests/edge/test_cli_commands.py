"""The asd-edge command as people and scripts meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge import __version__
from asd_edge.simulator import OperatingState
from tests.edge.device import FAN_SOURCE, asd_edge, fan, write_clip, write_device
from tests.edge.fan_bundle import NORMAL

FAN = {"id": "fan-1", "source": FAN_SOURCE, "speed": 50.0}
FAULTY = OperatingState(speed=1.0, load=0.5, fault="imbalance", severity=1.0)
HEAVY = ("torch", "onnxruntime", "paho", "scipy", "soundfile", "matplotlib", "amqtt", "numpy")


@pytest.fixture(scope="module")
def normal_clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_clip(folder / f"{seed}.wav", fan(NORMAL, seed=seed, seconds=10)) for seed in (60, 61, 62)]


def test_help_is_quick_to_load() -> None:
    code = (
        "import sys; sys.argv = ['asd-edge', '--help']\n"
        "from asd_edge.cli import main\n"
        "try: main()\n"
        f"except SystemExit: print([n for n in {HEAVY!r} if n in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["run", "score", "enroll", "conditions", "demo", "version"])
def test_every_command_explains_itself(command: str) -> None:
    told = asd_edge(command, "--help")
    assert told.returncode == 0
    assert f"asd-edge.cli {command}" in told.stdout or f"{command} [OPTIONS]" in told.stdout
    assert command in asd_edge("--help").stdout


def test_version() -> None:
    assert asd_edge("version").stdout.strip() == __version__


def test_an_unknown_option_is_a_usage_error() -> None:
    told = asd_edge("run", "--confg", "x")
    assert told.returncode == 2
    assert "--confg" in told.stderr


def test_score_tells_normal_from_faulty_by_what_the_factory_knows(bundle: Path, tmp_path: Path) -> None:
    normal = write_clip(tmp_path / "normal.wav", fan(NORMAL, seed=72, seconds=10))
    faulty = write_clip(tmp_path / "faulty.wav", fan(FAULTY, seed=75, seconds=20))
    told = asd_edge("score", "--bundle", bundle, "--factory", "fan/00", "--json", normal, faulty)
    assert told.returncode == 0, told.stderr
    rows = [row for row in map(json.loads, told.stdout.splitlines()) if "state" in row]
    over = {
        clip.name: [row["score"] > row["threshold"] for row in rows if row["clip"] == str(clip)]
        for clip in (normal, faulty)
    }
    assert len(over["faulty.wav"]) > len(over["normal.wav"]) >= 5
    assert not any(over["normal.wav"])
    assert all(over["faulty.wav"])
    text = asd_edge("score", "--bundle", bundle, "--factory", "fan/00", faulty).stdout
    assert "ANOMALOUS" in text
    assert "ALARM" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--factory", "pump/07"), ["pump/07", "fan/00"]),
        (("--factory", "fan"), ["fan/00"]),
        ((), ["--factory", "--config"]),
        (("--config", "device.toml", "--machine", "fan-1"), ["--bundle", "--config"]),  # which bundle is meant?
        (("--machine", "fan-1"), ["--config"]),
    ],
)
def test_score_asks_for_something_to_compare_with(
    bundle: Path, normal_clips: list[Path], arguments: tuple[str, ...], words: list[str]
) -> None:
    told = asd_edge("score", "--bundle", bundle, *arguments, normal_clips[0])
    assert told.returncode == 1
    assert told.stdout == ""
    assert "Traceback" not in told.stderr
    for word in ["found:", "expected:", "remedy:", *words]:
        assert word in told.stderr


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    write_clip(path, fan(NORMAL, seed=1, seconds=2))
    path.write_bytes(path.read_bytes()[:-2000])


def _nan(path: Path) -> None:
    samples = np.zeros(32_000, np.float32)
    samples[20_000] = np.nan
    soundfile.write(path, samples, 16_000, "FLOAT")


def _text(path: Path) -> None:
    path.write_text("this is no sound")


def _stereo(path: Path) -> None:
    soundfile.write(path, np.zeros((16_000, 2), np.float32), 16_000, "PCM_16")


def _wrong_rate(path: Path) -> None:
    soundfile.write(path, np.zeros(44_100, np.float32), 44_100, "PCM_16")


def _eight_bit(path: Path) -> None:
    soundfile.write(path, np.zeros(16_000, np.float32), 16_000, "PCM_U8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(_empty, "found:    0 bytes", id="empty"),
        pytest.param(_truncated, "2000 bytes fewer than its header promises", id="truncated"),
        pytest.param(_nan, "nan at sample 20000", id="nan"),
        pytest.param(_text, "is not a sound file", id="text"),
        pytest.param(_stereo, "several channels", id="stereo"),
        pytest.param(_wrong_rate, "44100 samples a second", id="rate"),
        pytest.param(_eight_bit, "found:    WAV, PCM_U8", id="8-bit"),
    ],
)
@pytest.mark.parametrize("command", ["score", "enroll"])
def test_bad_input_is_a_clear_error(
    bundle: Path, normal_clips: list[Path], tmp_path: Path, command: str, spoil: object, words: str
) -> None:
    bad = tmp_path / "bad.wav"
    assert callable(spoil)
    spoil(bad)
    if command == "score":
        told = asd_edge("score", "--bundle", bundle, "--factory", "fan/00", bad)
    else:
        device = write_device(tmp_path, bundle, 1883, FAN)
        what = ("--config", device, "--machine", "fan-1", "--condition", "rated")
        told = asd_edge("enroll", *what, *normal_clips, bad)
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    assert "bad.wav" in told.stderr
    assert words in told.stderr
    for word in ("found:", "expected:", "remedy:"):
        assert word in told.stderr
    assert not (tmp_path / "state" / "fan-1" / "site.json").exists()


PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "asd_edge.cli", *sys.argv[1:]], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
def test_a_two_hour_file_needs_no_more_memory_than_a_short_one(bundle: Path, tmp_path: Path) -> None:
    peaks_kb = []
    minute = fan(NORMAL, seed=1, seconds=60)
    for minutes in (1, 120):
        path = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", 16_000, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(minute)
        arguments = ("score", "--bundle", str(bundle), "--factory", "fan/00", "--json", str(path))
        told = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True)
        peaks_kb.append(int(told.stdout))
    # As float32 the sound alone is 460 MB; allocators differ by a few.
    assert peaks_kb[1] < peaks_kb[0] + 16 * 1024


def test_score_says_a_verdict_for_people_and_counts_at_the_end(bundle: Path, tmp_path: Path) -> None:
    normal = write_clip(tmp_path / "normal.wav", fan(NORMAL, seed=72, seconds=10))
    faulty = write_clip(tmp_path / "faulty.wav", fan(FAULTY, seed=75, seconds=20))
    lines = asd_edge("score", "--bundle", bundle, "--factory", "fan/00", normal, faulty).stdout.splitlines()
    assert {word for line in lines for word in line.split()} >= {"normal", "ANOMALOUS"}
    assert lines[-1] == "1 of 2 clips have a window above its threshold"


def test_a_clip_too_short_to_score_is_an_error(bundle: Path, tmp_path: Path) -> None:
    short = write_clip(tmp_path / "short.wav", fan(NORMAL, seed=72, seconds=0.5))
    told = asd_edge("score", "--bundle", bundle, "--factory", "fan/00", short)
    assert told.returncode == 1
    assert "too short to score" in told.stderr
