"""The clock of sound that comes from no microphone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

ROUND_S = 1.0
"""Longest time for which who waits for sound is not heard of."""


class Pace:
    """Lets a stream's seconds pass `speed` times as fast as ours; 0 lets them pass at once.

    A listener that was late for one block gets the next ones at once until it has caught up.

    Args:
        speed: as above.
        waiting: called at least every second of a wait.
    """

    def __init__(self, speed: float, waiting: Callable[[], None]) -> None:
        self._speed = speed
        self._waiting = waiting
        self._began = monotonic()
        self._closing = threading.Event()

    def start(self) -> None:
        """Let the stream's second 0 be now."""
        self._began = monotonic()

    def reach(self, second: float) -> bool:
        """Wait until this second of the stream; return False when the source was closed."""
        due = self._began + second / self._speed if self._speed > 0.0 else self._began
        while not self._closing.wait(min(max(0.0, due - monotonic()), ROUND_S)):
            if monotonic() >= due:
                return True
            self._waiting()
        return False

    def close(self) -> None:
        """End every wait, now and later."""
        self._closing.set()
