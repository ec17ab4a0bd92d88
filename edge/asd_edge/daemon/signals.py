"""Signals become notes to the main thread."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noted(note: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Have SIGTERM, SIGINT and SIGHUP noted; `note` must be safe in a signal handler, as SimpleQueue.put is.

    Afterwards a second SIGTERM or SIGINT kills, and SIGHUP, which comes too late to be obeyed, does nothing.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        note(signal.Signals(number))

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGHUP, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
