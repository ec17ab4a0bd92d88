"""`asd-edge run --check`: everything is tried once, and each failure is named."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from asd_edge.config import load_config
from asd_edge.control import ControlReply, ServedMachine, Serving
from asd_edge.daemon import check
from asd_edge.daemon.control import ControlServer
from asd_edge.sources import microphone
from tests.edge.device import asd_edge, write_device
from tests.edge.fan_bundle import make_fan_bundle

FAN = {"id": "fan-1", "source": "sim:fan", "factory": "fan/00"}


def test_a_device_in_order_passes(broker: Any, tmp_path: Path) -> None:
    make_fan_bundle(tmp_path / "fan.asd", clips=3)
    device = write_device(tmp_path, tmp_path / "fan.asd", broker.port, FAN)
    checked = asd_edge("run", "--check", "--config", device)
    assert checked.returncode == 0, checked.stderr
    assert [line.split(":")[0].split(maxsplit=1) for line in checked.stdout.splitlines()] == [
        ["ok", "bundle"],
        ["ok", "machine fan-1"],
        ["ok", "machine fan-1"],
        ["ok", "broker of [mqtt]"],
    ]


def test_every_failure_is_named_and_the_rest_is_still_tried(make_broker: Any, tmp_path: Path) -> None:
    make_fan_bundle(tmp_path / "fan.asd", clips=3)
    absent = {"id": "absent", "source": f"file:{tmp_path / 'absent.wav'}", "factory": "pump/99"}
    device = write_device(tmp_path, tmp_path / "fan.asd", make_broker().port, absent, FAN)
    checked = asd_edge("run", "--check", "--config", device)
    assert checked.returncode == 1
    failed = [line for line in checked.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 3
    assert "machine absent: conditions" in failed[0]
    assert "machine absent: source" in failed[1]
    assert "broker" in failed[2]
    assert "Connection refused" in checked.stdout
    assert "machine fan-1: source" in checked.stdout
    assert checked.stdout.count("remedy:") == 3


def test_a_watched_folder_passes_before_anything_comes(tmp_path: Path) -> None:
    make_fan_bundle(tmp_path / "fan.asd", clips=3)
    (tmp_path / "in").mkdir()
    folder = FAN | {"source": f"folder:{tmp_path / 'in'}"}
    gone = FAN | {"id": "gone", "source": f"folder:{tmp_path / 'gone'}"}
    config = load_config(write_device(tmp_path, tmp_path / "fan.asd", 1883, folder, gone))
    found = {finding.what: finding for finding in islice(check.check(config), 5)}
    assert "what comes into it" in found["machine fan-1: source"].result
    assert "cannot be watched" in str(found["machine gone: source"].error)


def test_a_missing_bundle_does_not_hide_an_unreachable_broker(make_broker: Any, tmp_path: Path) -> None:
    device = write_device(tmp_path, tmp_path / "absent.asd", make_broker().port, FAN)
    checked = asd_edge("run", "--check", "--config", device)
    assert checked.returncode == 1
    assert "absent.asd" in checked.stdout
    assert "Connection refused" in checked.stdout


def test_a_microphone_loses_patience_before_the_check_and_says_why() -> None:
    assert check._SOUND_WITHIN_S > microphone._PATIENCE_S


def test_a_recorder_too_slow_for_the_check_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_SOUND_WITHIN_S", 1.0)
    arecord = tmp_path / "arecord"  # a driver that trickles cannot be had on demand
    arecord.write_text("#!/bin/sh\nwhile printf x; do sleep 0.1; done\n")
    arecord.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    make_fan_bundle(tmp_path / "fan.asd", clips=3)
    config = load_config(write_device(tmp_path, tmp_path / "fan.asd", 1883, FAN | {"source": "alsa:default"}))
    (heard,) = islice(check.check(config), 2, 3)
    assert "nothing for 1 s" in str(heard.error)
    _, left = psutil.wait_procs(psutil.Process().children(), timeout=5.0)  # its thread ends it
    assert left == []


def test_the_fifo_of_a_running_daemon_is_left_to_it(tmp_path: Path) -> None:
    make_fan_bundle(tmp_path / "fan.asd", clips=3)
    os.mkfifo(tmp_path / "pipe")
    fifo = FAN | {"source": f"raw:{tmp_path / 'pipe'}"}
    device = write_device(tmp_path, tmp_path / "fan.asd", 1883, fifo, enabled=False)
    machine = ServedMachine(machine="fan-1", health="normal", error=None)
    ids = {"bundle_id": "0" * 64, "embedding_id": "0" * 64}
    runs = Serving(name="fan", **ids, precision="fp32", engine="onnxruntime", machines=(machine,))
    server = ControlServer(tmp_path / "state", lambda _: (ControlReply(serving=runs), np.zeros(0, np.float32)))
    server.start()
    (_, _, source) = check.check(load_config(device))
    server.stop()
    assert source.result.startswith("not tried: the running daemon")
