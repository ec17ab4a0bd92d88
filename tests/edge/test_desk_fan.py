"""A real desk fan: the default bundle, enrolled on three recordings, through the daemon and a broker."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.edge.broker import Broker, Listener
from tests.edge.device import asd_edge, write_device

ENROLLED = ("ON_20200318T204454", "ON_20200318T204733", "ON_20210210T012029")  # two days, two distances


@pytest.fixture(scope="module")
def recordings(real_data: Path) -> dict[str, Path]:
    paths = {path.stem: path for path in sorted((real_data / "desk_fan").glob("*.wav"))}
    if not paths:
        pytest.skip("no recordings of the desk fan")
    return paths


def machine_id(stem: str) -> str:
    return stem.replace(" ", "-")


def test_a_damaged_blade_alarms_a_healthy_fan_is_quiet_and_a_stopped_one_idle(
    recordings: dict[str, Path], broker: Broker, listen: Callable[..., Listener], tmp_path: Path
) -> None:
    heard = {stem: path for stem, path in recordings.items() if stem.startswith(("ON", "OFF", "BLADE"))}
    heard = {stem: path for stem, path in heard.items() if stem not in ENROLLED}
    machines = [{"id": machine_id(stem), "source": f"file:{path}", "speed": 0.0} for stem, path in heard.items()]
    device = write_device(tmp_path, Path("default"), broker.port, {"id": "fan", "source": "sim:fan"}, *machines)
    clips = [recordings[stem] for stem in ENROLLED]
    enrolled = asd_edge(
        "enroll", "--config", device, "--machine", "fan", "--condition", "healthy", "--mixed", "--yes", *clips
    )
    assert enrolled.returncode == 0, enrolled.stderr
    for stem in heard:  # one enrollment serves every recording
        shutil.copytree(tmp_path / "state" / "fan", tmp_path / "state" / machine_id(stem))
    device = write_device(tmp_path, Path("default"), broker.port, *machines)
    listener = listen(broker.port)
    daemon = asd_edge("run", "--config", device, timeout_s=120)
    assert daemon.returncode == 0, daemon.stderr
    listener.wait("/status", lambda payload: payload["state"] == "offline")
    for stem in heard:
        scores = listener.of(f"/{machine_id(stem)}/score")
        alarms = [alarm["active"] for alarm in listener.of(f"/{machine_id(stem)}/alarm")]
        states = [score["state"] for score in scores]
        assert len(scores) >= 4, stem
        if stem.startswith("BLADE"):
            assert True in alarms, stem
        else:
            assert True not in alarms, stem
        if stem.startswith("OFF"):
            assert set(states) == {"idle"}, stem
        else:
            assert set(states) == {"scored"}, stem
