"""Sources of a running daemon that are lost and come back."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.edge.device import FAN_SOURCE, fan, write_device
from tests.edge.fan_bundle import NORMAL
from tests.edge.required import required_tool
from tests.edge.virtual_microphone import virtual_microphone

SIMULATED = {"id": "fan-1", "source": FAN_SOURCE, "speed": 20.0, "factory": "fan/00"}


def send(fifo: Path, sound: bytes) -> None:
    """Write into a FIFO as soon as somebody reads it."""
    threading.Thread(target=fifo.write_bytes, args=(sound,), daemon=True).start()


def wait_for_more_scores(listener: Any) -> None:
    """Wait for those of four more seconds of sound."""
    before = len(listener.of("/score"))
    listener.wait("/score", lambda _: len(listener.of("/score")) >= before + 4)


def reasons(listener: Any) -> list[str]:
    """Why each status was sent; which engine serves is said beside, whenever that is known."""
    return [reason for status in listener.of("/status") if not (reason := status["reason"]).endswith(" serves")]


def reopened(status: dict[str, Any]) -> int:
    """How often the first machine's microphone was."""
    return int(status["machines"][0]["microphone"]["reopened"]) if "machines" in status else 0


def machine_states(status: dict[str, Any]) -> list[str]:
    return [machine["state"] for machine in status.get("machines", ())] or [""] * 3


def test_a_fifo_whose_sender_leaves_is_heard_again_when_one_comes(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    fifo = tmp_path / "fifo"
    machine = {"id": "fan-1", "source": f"raw:{fifo}", "factory": "fan/00"}
    sound = (fan(NORMAL, seed=1, seconds=12) * 32_767).astype("<i2").tobytes()
    listener = listen(broker.port)
    daemon = start(write_device(tmp_path, bundle, broker.port, machine))
    missing = listener.wait("/status", lambda status: machine_states(status)[0] == "failed")
    assert "nothing of that name" in missing["machines"][0]["error"]
    os.mkfifo(fifo)
    send(fifo, sound)
    left = listener.wait("/status", lambda status: "its sender left" in str(status.get("machines")))
    assert machine_states(left) == ["reopening"]
    assert left["machines"][0]["health"] == "out_of_specification"
    send(fifo, sound)
    listener.wait("/score", lambda score: score["start"] > 12 * 16_000)
    states = ["failed", *["running", "reopening"] * 2]
    wanted = [f"fan-1 {state}" for state in states]
    listener.wait("/status", lambda _: [r for r in reasons(listener) if r in wanted][-len(wanted) :] == wanted)
    starts = [score["start"] for score in listener.of("/score")]
    assert starts == sorted(starts)
    assert sum(np.diff(starts) > 32 * 512) == 1  # one numbering, with a gap
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=15)
    assert daemon.returncode == 0
    assert log.count("its sender left") == 2


def test_a_microphone_that_comes_late_and_dies_is_heard_again(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    samples = np.tile(fan(NORMAL, seed=1, seconds=10) * 32_767, 30).astype(np.int16)
    listener = listen(broker.port)
    with virtual_microphone(tmp_path, samples) as name:
        (tmp_path / "asound.conf").rename(tmp_path / "unplugged")
        (tmp_path / "asound.conf").write_text("</usr/share/alsa/alsa.conf>\n")
        machine = {"id": "fan-1", "source": f"alsa:{name}", "factory": "fan/00"}
        daemon = start(write_device(tmp_path, bundle, broker.port, machine, SIMULATED | {"id": "other"}))
        absent = listener.wait("/status", lambda status: machine_states(status)[0] == "failed")
        assert "Unknown PCM" in absent["machines"][0]["error"]
        (tmp_path / "unplugged").rename(tmp_path / "asound.conf")
        listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
        (recorder,) = (child for child in psutil.Process(daemon.pid).children() if child.name() == "arecord")
        recorder.kill()
        back = listener.wait("/status", lambda status: reopened(status) == 1)
        assert (back["machines"][0]["state"], back["machines"][0]["health"]) == ("running", "normal")
        daemon.send_signal(signal.SIGTERM)
        _, log = daemon.communicate(timeout=15)
        assert daemon.returncode == 0
        assert log.count("ended by signal 9") == 1
        assert not [alarm for alarm in listener.of("/fan-1/alarm") if alarm["active"]]


def test_a_recorder_that_cannot_be_started_is_tried_again(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any
) -> None:
    samples = np.tile(fan(NORMAL, seed=1, seconds=10) * 32_767, 30).astype(np.int16)
    listener = listen(broker.port)
    with virtual_microphone(tmp_path, samples) as name:
        broken = tmp_path / "arecord"
        broken.write_bytes(b"\x7fELF, cut short")
        broken.chmod(0o755)
        machine = {"id": "fan-1", "source": f"alsa:{name}", "factory": "fan/00"}
        device = write_device(tmp_path, bundle, broker.port, machine)
        daemon = start(device, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        failed = listener.wait("/status", lambda status: machine_states(status)[0] == "failed")
        assert "Exec format error" in failed["machines"][0]["error"]
        whole = tmp_path / "whole"
        whole.symlink_to(required_tool("arecord", "alsa-utils"))
        whole.replace(broken)  # at once: an attempt between two steps would fail in another way, and say so
        listener.wait("/fan-1/score", lambda score: score["state"] == "scored")
        daemon.send_signal(signal.SIGTERM)
        _, log = daemon.communicate(timeout=15)
        assert daemon.returncode == 0
        assert log.count("Traceback") == 1  # said once, not at every attempt
