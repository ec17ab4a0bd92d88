"""The real daemon follows its device file: all of it, or nothing, and no sound or event is lost on the way."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asd_edge.control import reload, status
from asd_edge.errors import StateError
from tests.edge.device import FAN_SOURCE, asd_edge, write_device

FAN = {"id": "fan-1", "source": FAN_SOURCE, "speed": 20.0, "factory": "fan/00"}
OTHER = FAN | {"id": "fan-2"}
HOP = 32 * 512  # samples from one score to the next


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[list[str]]:
    """What a daemon with NOTIFY_SOCKET=<tmp_path>/notify tells systemd."""
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))

        def take() -> None:
            while message := listener.recv(4_096):
                told.append(message.decode())

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield told
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(tmp_path / "notify"))
        thread.join()


def scores(listener: Any, machine: str) -> list[dict[str, Any]]:
    """Return all scores of a machine, sent live or as history, by id."""
    live = listener.of(f"/{machine}/score")
    late = [
        event["payload"]
        for batch in listener.of("/history")
        for event in batch["events"]
        if event["topic"] == f"{machine}/score"
    ]
    return sorted({score["id"]: score for score in live + late}.values(), key=lambda score: score["id"])


def ids_and_gaps(listener: Any, machine: str) -> tuple[int, set[int]]:
    """Return how many scores of a machine there are, and the steps from one to the next."""
    found = scores(listener, machine)
    return len(found), {int(step) for step in np.diff([score["start"] for score in found])}


def test_a_device_file_comes_into_force_as_a_whole_or_not_at_all(
    broker: Any, listen: Any, bundle: Path, tmp_path: Path, start: Any, systemd: list[str]
) -> None:
    state, listener = tmp_path / "state", listen(broker.port)
    device = write_device(tmp_path, bundle, broker.port, FAN, OTHER)
    daemon = start(device, NOTIFY_SOCKET=str(tmp_path / "notify"))
    listener.wait("/fan-1/score", lambda _: True)
    listener.wait("/fan-2/score", lambda _: True)
    first, text = status(state), device.read_text()
    assert [machine.machine for machine in first.machines] == ["fan-1", "fan-2"]
    assert first.needs_a_person == ()

    # What cannot be used changes nothing, and says why everywhere.
    for bad, found in (
        (text.replace("speed", "spead"), "machines[fan-1].spead"),
        (text + "[[machines]]\nid = 'fan-3'\nsource = 'sim:fan'\nfactory = 'pump/99'\n", "pump/99"),
        (text + "[[machines]]\nid = 'fan-3'\nsource = 'sim:fan?sed=3'\n", "unknown option 'sed'"),
        (text + "[[machines]]\nid = 'fan-3'\nsource = 'raw:absent'\n", "nothing of that name"),
        (text.replace('id = "box"', 'id = "bax"'), "[device]"),
        (text.replace("[mqtt]", "[mqtt]\nusername = 'a'\npassword_file = 'absent'"), "absent"),
        (text + f"[prometheus]\nenabled = true\nport = {broker.port}\n", "in use"),
    ):
        device.write_text(bad)
        with pytest.raises(StateError, match=re.escape(found)):
            reload(state)
        now = status(state)
        assert now.file.reload_error is not None
        assert found in now.file.reload_error
        assert now.needs_a_person
        assert now.file.sha256 == first.file.sha256
        assert [machine.machine for machine in now.machines] == ["fan-1", "fan-2"]
    device.write_text(text.replace("[mqtt]", "[mqtt"))
    refused = asd_edge("reload", "--config", device)  # it finds the daemon, which says what is wrong
    assert refused.returncode == 1
    assert "Cannot use the device file" in refused.stderr
    said = listener.wait("/status", lambda payload: payload["reason"] == "the device file is not taken")
    assert said["health"] == "maintenance_required"
    told = asd_edge("status", "--config", write_device(_folder(tmp_path), bundle, broker.port, FAN), "--json")
    assert told.returncode == 3  # of another state folder: there is no daemon

    # One machine goes, one comes, one stays as it is: its sound has no gap.
    write_device(tmp_path, bundle, broker.port, FAN, FAN | {"id": "fan-3"})
    done = asd_edge("reload", "--config", device)
    assert done.returncode == 0, done.stderr
    listener.wait("/fan-3/score", lambda _: True)
    now = status(state)
    assert [machine.machine for machine in now.machines] == ["fan-1", "fan-3"]
    assert now.file.reload_error is None
    assert now.file.sha256 != first.file.sha256
    assert "machine fan-2" not in now.process.threads
    gone = len(scores(listener, "fan-2"))

    # A destination that is another by now takes over the outbox; SIGHUP asks for the same.
    write_device(tmp_path, bundle, broker.port, FAN, FAN | {"id": "fan-3"}, prefix="plant/hall")
    daemon.send_signal(signal.SIGHUP)
    listener.wait("plant/hall/box/status", lambda payload: payload["state"] == "online")
    alarm = listener.wait("plant/hall/box/fan-1/alarm", lambda _: True)  # the new place knows how it stands
    assert (alarm["active"], alarm["cause"]) == (False, "start")
    before, _ = ids_and_gaps(listener, "fan-1")
    listener.wait("/fan-1/score", lambda score: score["id"] > before * 3 + 30)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(15) == 0
    listener.wait("plant/hall/box/status", lambda payload: payload["state"] == "offline")
    farewell = listener.wait("asd-edge/box/status", lambda payload: payload["state"] == "offline")
    assert farewell["reason"] == "the device file has changed"
    assert ids_and_gaps(listener, "fan-1")[1] == {HOP}
    assert len(scores(listener, "fan-2")) == gone

    reloads = [message for message in systemd if message.startswith("RELOADING=1\nMONOTONIC_USEC=")]
    assert len(reloads) == 10
    assert systemd.count("READY=1") == 11
    microseconds = [int(message.rpartition("=")[2]) for message in reloads]
    assert microseconds == sorted(microseconds)
    assert 0 <= time.monotonic_ns() // 1000 - microseconds[-1] < 60_000_000


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "other").mkdir()
    return tmp_path / "other"
