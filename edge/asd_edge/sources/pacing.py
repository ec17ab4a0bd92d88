"""The clock of sound that comes from no microphone."""

from __future__ import annotations

import threading
from time import monotonic


class Pace:
    """Lets a stream's seconds pass `speed` times as fast as ours; 0 lets them pass at once.

    A listener that was late for one block gets the next ones at once until it has caught up.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = monotonic()
        self._closing = threading.Event()

    def start(self) -> None:
        """Let the stream's second 0 be now."""
        self._began = monotonic()

    def reach(self, second: float) -> bool:
        """Wait until this second of the stream; return False when the source was closed."""
        wait = self._began + second / self._speed - monotonic() if self._speed > 0.0 else 0.0
        return not self._closing.wait(max(0.0, wait))

    def close(self) -> None:
        """End every wait, now and later."""
        self._closing.set()
