"""A mosquitto that keeps its state on the disk, as a plant's does, and that can be killed."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from tests.edge.broker import Broker

_EXAMPLE = Path(__file__).parents[2] / "firmware_configs" / "mosquitto" / "mosquitto.conf"
_KEPT = ("autosave_interval ", "max_queued_", "persistent_client_", "max_packet_size ")  # settings of the example


class LastingBroker(Broker):
    """Sessions, retained and queued messages survive a kill but for what came since the last save."""

    def __init__(self, folder: Path) -> None:
        example = [line for line in _EXAMPLE.read_text().splitlines() if line.startswith(_KEPT)]
        own = ["allow_anonymous true", "persistence true", f"persistence_location {folder}/"]
        super().__init__(folder, "\n".join([*own, *example, ""]))
        self._folder = folder
        self._plain = self._config.read_text()

    def save(self) -> None:
        """Write the state to the disk now (mosquitto(8), SIGUSR1)."""
        self._send(signal.SIGUSR1)

    def restart(self, more: str = "") -> None:
        """Stop it, and start it again with settings added to its own; port and state stay."""
        self.stop()
        self._config.write_text(self._plain + more)
        self.start()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
