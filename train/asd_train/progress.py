"""Progress bars on long work, silent when nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Progress:
    """Draws a bar on standard error when that is a terminal.

    Args:
        enabled: False for tests and for machine-readable output; None asks the terminal.
    """

    def __init__(self, enabled: bool | None = None) -> None:
        self._enabled = sys.stderr.isatty() if enabled is None else enabled

    def track(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        """Yield the items, moving the bar with each."""
        if not self._enabled:
            yield from items
            return
        from rich.console import Console
        from rich.progress import track

        yield from track(items, description=what, total=total, console=Console(stderr=True), transient=True)
