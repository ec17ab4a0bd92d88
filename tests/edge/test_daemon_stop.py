"""How a daemon begins, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import load_config
from asd_edge.daemon import supervisor
from asd_edge.daemon.supervisor import Daemon
from tests.edge.device import FAN_SOURCE, asd_edge, fan, write_clip, write_device
from tests.edge.fan_bundle import NORMAL

SIMULATED = {"id": "fan-1", "source": FAN_SOURCE, "speed": 20.0, "factory": "fan/00"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any, number: signal.Signals
) -> None:
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, SIMULATED))
    listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
    assert listener.wait("/status", lambda _: True)["state"] == "online"
    daemon.send_signal(number)
    assert daemon.wait(15) == 0
    farewell = listener.wait("/status", lambda status: status["state"] == "offline")
    assert farewell["reason"] == f"stopped by {number.name}"
    received = len(listener.of("/score")) + len(listener.of("/alarm"))
    assert farewell["messages"]["published"] == farewell["messages"]["acknowledged"] == received


def test_machines_that_do_not_answer_keep_no_daemon_from_ending(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    os.mkfifo(tmp_path / "stuck")  # opening it as a file waits for a writer, and nothing can interrupt that
    stuck = [{"id": f"stuck-{number}", "source": f"sim:fan?control={tmp_path / 'stuck'}"} for number in range(4)]
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, *stuck))
    listener.wait("/alarm", lambda alarm: alarm["machine"] == "stuck-3")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0


def test_a_finished_recording_that_no_broker_took_is_a_failure(make_broker: Any, bundle: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.wav", fan(NORMAL, seed=1, seconds=12))
    machine = {"id": "fan-1", "source": f"file:{clip}", "speed": 0.0, "factory": "fan/00"}
    run = asd_edge("run", "--config", write_device(tmp_path, bundle, make_broker().port, machine))
    assert run.returncode == 1
    assert "events that no broker has confirmed" in run.stderr
    assert run.stderr.count("remedy:") == 2  # why it was not reached, and what waits for that


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(
    broker: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        device = write_device(tmp_path, bundle, broker.port, SIMULATED)
        daemon = start(device, NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert systemd.recv(100) == b"READY=1"
        while (told := systemd.recv(200)) != b"STATUS=1 of 1 machines heard; mqtt connected":
            assert told.startswith(b"STATUS=")
        daemon.send_signal(signal.SIGTERM)
        while (told := systemd.recv(200)) != b"STOPPING=1":
            assert told.startswith(b"STATUS=")
        assert daemon.wait(15) == 0


def test_systemd_that_is_not_there_ends_nothing(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    device = write_device(tmp_path, bundle, broker.port, SIMULATED)
    daemon = start(device, NOTIFY_SOCKET=str(tmp_path / "nobody"))
    listen(broker.port).wait("/fan-1/score", lambda score: score["state"] == "scored")
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=15)
    assert daemon.returncode == 0
    assert "systemd cannot be told READY=1" in log


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("[device]\nid = 'box'\n[[machines]]\nid = 'a'\nsorce = 'sim:fan'\n", "'source'"),
        (
            "[device]\nid = 'box'\n[bundle]\npath = 'absent.asd'\n[[machines]]\nid = 'a'\nsource = 'sim:fan'\n",
            "absent.asd",
        ),
    ],
)
def test_a_device_that_cannot_run_says_so_and_fails(tmp_path: Path, table: str, word: str) -> None:
    (tmp_path / "device.toml").write_text(table)
    run = asd_edge("run", "--config", tmp_path / "device.toml")
    assert run.returncode == 1
    assert word in run.stderr
    assert "remedy:" in run.stderr
    assert "Traceback" not in run.stderr


def test_parts_that_take_all_their_time_leave_the_destinations_theirs(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_device(tmp_path, bundle, 1, {"id": "fan-1", "source": FAN_SOURCE})
    daemon = Daemon(load_config(path), path)
    for part in ("_engines", "_machines", "_scorer", "_alarms", "_keeping", "_evidence"):
        monkeypatch.setattr(getattr(daemon, part), "stop", time.sleep)
    given: list[float] = []
    monkeypatch.setattr(daemon._destinations, "stop", lambda _reason, patience_s: given.append(patience_s))
    assert daemon._stop(signal.SIGTERM) == 0
    assert given[0] >= supervisor._FAREWELL_S
