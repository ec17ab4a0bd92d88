"""What one thread wants done by another, and may wait for."""

from __future__ import annotations

import threading

from asd_edge.errors import StateError


class Order:
    """Waited for by the thread that gave it, fulfilled by the one that obeys."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._error: Exception | None = None

    def fulfil(self, error: Exception | None = None) -> None:
        """Say that it is done, or what went wrong."""
        self._error = error
        self._done.set()

    def wait(self, patience_s: float, late: StateError) -> None:
        """Wait until it is done.

        Raises:
            StateError: `late`, when that takes more than `patience_s` seconds.
            Exception: what went wrong.
        """
        if not self._done.wait(patience_s):
            raise late
        if self._error is not None:
            raise self._error
