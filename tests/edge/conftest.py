"""Fixtures of the device's tests: a broker that really runs, listeners to it, and the daemon."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asd_edge.config import MqttTable, OutboxTable
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import DeviceReport
from tests.edge.broker import Broker, Listener
from tests.edge.device import ASD_EDGE
from tests.edge.outages import REPORT, TOPICS
from tests.edge.outboxes import Clock

if TYPE_CHECKING:
    from tests.edge.remote_device import Asker


@pytest.fixture(scope="session")
def fan_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that has heard a normal simulated fan; nobody may change it."""
    from tests.edge.fan_bundle import make_fan_bundle

    path = tmp_path_factory.mktemp("fan") / "fan.asd"
    make_fan_bundle(path)
    path.chmod(0o444)
    return path


@pytest.fixture(scope="session")
def bundle(fan_bundle: Path) -> Path:
    """The same, unless a file of tests has a bundle of its own."""
    return fan_bundle


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Make brokers that are not started yet."""
    brokers: list[Broker] = []

    def make(extra: str = "allow_anonymous true\n") -> Broker:
        folder = tmp_path / f"broker-{len(brokers)}"
        folder.mkdir()
        brokers.append(Broker(folder, extra))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.stop()


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    """A broker that runs."""
    made = make_broker()
    made.start()
    return made


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Listen to a broker."""
    listeners: list[Listener] = []

    def make(port: int, topic: str = "#", **login: str) -> Listener:
        listeners.append(Listener(port, topic, **login))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


@pytest.fixture
def make_sink(tmp_path: Path) -> Iterator[Callable[..., MqttSink]]:
    """Start sinks, each with an outbox of its own: `tmp_path / outbox-N`."""
    sinks: list[MqttSink] = []

    def make(port: int, *, describe: Callable[[], DeviceReport] = lambda: REPORT, **fields: Any) -> MqttSink:
        outbox = Outbox(tmp_path / f"outbox-{len(sinks)}" / "mqtt.db", OutboxTable())
        sink = MqttSink(MqttTable(host="127.0.0.1", port=port, **fields), TOPICS, outbox, 2_048, describe)
        sink.start()
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.stop("the test is over", patience_s=0.0)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the daemon; whatever is left of it at the end is killed."""
    children: list[subprocess.Popen[str]] = []

    def begin(device: Path, **environment: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [*ASD_EDGE, "run", "--config", str(device)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()


@pytest.fixture
def ask(listen: Callable[..., Listener]) -> Iterator[Callable[[int], Asker]]:
    """Send requests to a device that takes commands."""
    from tests.edge.remote_device import Asker  # here: few tests need this part of the daemon

    askers: list[Asker] = []

    def make(port: int) -> Asker:
        askers.append(Asker(listen(port, "asd-edge/box/remote/response"), port))
        return askers[-1]

    yield make
    for asker in askers:
        asker.close()


@pytest.fixture
def start_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Callable[[], None]]]:
    """Start the part of a device that takes commands; give a function that stops it."""
    from asd_edge.remote.runner import Runner
    from tests.edge.remote_device import STAND_IN, device_config, start_remote

    monkeypatch.setattr("asd_edge.daemon.remote.Runner", partial(Runner, STAND_IN))
    with ExitStack() as stops:

        def start(port: int, **tables: Any) -> Callable[[], None]:
            stop = start_remote(device_config(tmp_path, port, **tables), tmp_path / "device.toml")
            stops.callback(stop)
            return stop

        yield start


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def make_outbox(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Outbox]]:
    made: list[Outbox] = []

    def outbox(**limits: Any) -> Outbox:
        made.append(Outbox(tmp_path / "mqtt.db", OutboxTable(**limits), clock))
        return made[-1]

    yield outbox
    for one in made:
        one.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", folder], capture_output=True).returncode:
        pytest.skip("only root can have a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
