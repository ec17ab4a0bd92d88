"""A mosquitto that keeps its state on the disk, as a plant's does, and that can be killed."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.edge.broker import Broker

SETTINGS = """\
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 30
max_queued_messages 0
"""


class LastingBroker(Broker):
    """Sessions, retained and queued messages survive a kill but for what came since the last save."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SETTINGS.format(folder=folder))

    def save(self) -> None:
        """Write the state to the disk now (mosquitto(8), SIGUSR1)."""
        self._send(signal.SIGUSR1)

    def kill(self) -> None:
        """Kill it as a loss of power would."""
        self._send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
