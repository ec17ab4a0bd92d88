"""Destinations that end and begin while the daemon runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asd_edge.config import load_config
from asd_edge.daemon.destinations import Destinations
from asd_edge.daemon.reload import DeviceFile, Reload, ReloadOrder
from asd_edge.daemon.watchdog import Watchdog
from asd_edge.errors import SinkError, StateError
from asd_edge.events import WindowScore, WindowState
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import DeviceReport, EngineReport
from tests.edge.device import FAN_SOURCE, write_device

FAN = {"id": "fan-1", "source": FAN_SOURCE}
WINDOW = WindowScore("fan-1", 0, 1, 1000.0, WindowState.IDLE, level_dbfs=-50.0)


class Time:
    """Seconds, for the watchdog."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Following:
    """The destinations of a device file, and its reload. Nobody listens at port 1."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Time()
        self.watchdog = Watchdog(self.clock)
        path = self.write(port=1)
        config = load_config(path)
        report = DeviceReport("1", "b" * 64, EngineReport("onnxruntime", "fp32"), (), ())
        self.destinations = Destinations(
            config, lambda: report, self.watchdog, lambda _sink, _topics: None, lambda _publish: None
        )
        file, announce = DeviceFile.of(config, path), self.destinations.announce
        self.reload = Reload(file, (self.destinations,), announce, self.watchdog.look, lambda _order: None)
        self.destinations.start(0.0)

    def write(self, port: int = 1, **mqtt: str) -> Path:
        return write_device(self.folder, self.folder / "fan.asd", port, FAN, **mqtt)

    def obey(self) -> None:
        """Reload; what is wrong with the file is raised."""
        order = ReloadOrder()
        self.reload.obey(order)
        order.wait(0.0, StateError("not done", found="", expected="", remedy=""))

    @property
    def waiting(self) -> int:
        return self.destinations.reports["mqtt"][2].waiting

    def wait_for(self, waiting: int) -> None:
        wait_until(lambda: self.waiting == waiting)


def wait_until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_takes_over_waits_for_a_disk_that_stalls_and_nobody_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("asd_edge.daemon.handover._SWITCH_S", 0.2)
    monkeypatch.setattr("asd_edge.sinks.mqtt._END_S", 0.1)
    disk, stalls, commit = threading.Event(), threading.Event(), Outbox.commit
    users: set[int] = set()  # threads in the disk at one time
    most = [0]

    def slow_commit(outbox: Outbox, entries: object) -> object:
        users.add(threading.get_ident())
        most[0] = max(most[0], len(users))
        if not disk.is_set():
            stalls.set()
            disk.wait(30.0)
        try:
            return commit(outbox, entries)  # type: ignore[arg-type]
        finally:
            users.discard(threading.get_ident())

    disk.set()
    monkeypatch.setattr(Outbox, "commit", slow_commit)
    daemon = Following(tmp_path)
    daemon.destinations.publish(WINDOW)
    daemon.wait_for(1)
    disk.clear()
    daemon.destinations.publish(WINDOW)
    assert stalls.wait(10.0)
    for port in (2, 3):
        daemon.write(port=port)
        daemon.obey()  # the main thread has other things to do than to wait for a disk
        assert daemon.reload.file.config.mqtt.port == port
        daemon.destinations.publish(WINDOW)
    wait_until(lambda: "who takes over waits" in caplog.text)
    for _ in range(40):
        daemon.clock.now += 2.0
        daemon.watchdog.look()
    assert daemon.watchdog.stuck == ("mqtt has not moved for 60 s",)
    disk.set()
    daemon.destinations.publish(WINDOW)
    daemon.wait_for(5)
    assert most[0] == 1
    daemon.watchdog.look()
    assert daemon.watchdog.stuck == ()
    assert daemon.destinations.stop("the test is over", 2.0) == 5


def test_a_file_that_a_destination_names_and_cannot_be_looked_at_is_a_refusal(tmp_path: Path) -> None:
    daemon = Following(tmp_path)
    before = daemon.reload.file
    for key in ("tls.ca_file", "password_file"):
        # To look for it is an error already, as it is in a folder that the daemon's user may not enter.
        daemon.write(**{key: "a" * 300, "username": "box"})
        with pytest.raises(SinkError) as refused:
            daemon.obey()
        assert "File name too long" in refused.value.found
        assert daemon.reload.file is before
    daemon.destinations.publish(WINDOW)
    daemon.wait_for(1)
    assert daemon.destinations.stop("the test is over", 2.0) == 1
