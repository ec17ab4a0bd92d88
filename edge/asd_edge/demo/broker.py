"""The demo's own MQTT broker: mosquitto when this machine has it, else amqtt, which is pure Python."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from asd_edge.errors import SinkError

_START_S = 10.0


@dataclass(frozen=True, slots=True)
class DemoBroker:
    """A broker that answers on 127.0.0.1."""

    name: str
    port: int


@contextmanager
def demo_broker(port: int = 0, *, mosquitto: str | None = None) -> Iterator[DemoBroker]:
    """Run a broker as a child process; `port` 0 picks a free one, `mosquitto` "" does without it.

    Raises:
        SinkError: there is no broker on this machine, the port is taken, or it does not start.
    """
    chosen = _free_port(port)
    executable = find_mosquitto() if mosquitto is None else mosquitto
    with tempfile.TemporaryDirectory(prefix="asd-edge-broker-") as folder:
        command = _mosquitto(executable, chosen, Path(folder)) if executable else _amqtt(chosen)
        with (
            (Path(folder) / "log").open("w+b") as log,
            subprocess.Popen(command, stdout=log, stderr=log) as child,
        ):
            try:
                _wait(child, chosen, Path(log.name))
                yield DemoBroker("mosquitto" if executable else "amqtt", chosen)
            finally:
                child.terminate()


def find_mosquitto() -> str:
    """Return mosquitto's path, or "" without it; Debian puts it where a user's PATH does not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin") or ""


def _mosquitto(executable: str, port: int, folder: Path) -> list[str]:
    user = "user root\n" if os.geteuid() == 0 else ""  # it would become a user who cannot enter this folder
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n{user}")
    return [executable, "-c", str(config)]


def _amqtt(port: int) -> list[str]:
    if find_spec("amqtt") is None:
        raise SinkError(
            "There is no MQTT broker for the demo",
            found="neither mosquitto nor the Python package amqtt",
            expected="one of them",
            remedy="Run pip install 'asd-edge[demo]', or apt-get install mosquitto.",
        )
    return [sys.executable, "-m", "asd_edge.demo.amqtt_child", str(port)]


def _free_port(wanted: int) -> int:
    """Return `wanted`, or any port for 0, once it is sure that no other broker would answer there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as brokers do: old connections take no port
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise SinkError(
                "The demo's broker cannot have this port",
                found=f"port {wanted}: {error.strerror}",
                expected="a port that nobody listens to, so that no other broker hears the demo",
                remedy="Choose another --port, or 0 for a free one.",
            ) from None
        port: int = probe.getsockname()[1]
        return port


def _wait(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and child.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    lines = log.read_text(errors="replace").strip().splitlines()
    raise SinkError(
        "The demo's broker does not start",
        found=lines[-1] if lines else "no answer",
        expected=f"a broker that answers on 127.0.0.1:{port}",
        remedy="Choose another --port, or 0 for a free one.",
    )
