"""Which of some brokers is tried next, and when. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator

_LONGEST_PAUSE_S = 60.0


class Turns:
    """Attempts in rounds, each of all the servers, first to last, with a growing pause before the next round.

    A connection that ends before it has stood for a while counts as a failed attempt, for a broker that accepts and
    cuts again must not be tried every second, nor keep the device from the others.

    Args:
        servers: how many there are.
    """

    def __init__(self, servers: int) -> None:
        self.server = 0
        """Which is next."""
        self.at = 0.0
        """When, in seconds of whoever asks."""
        self._servers = servers
        self._pauses = _pauses()

    def failed(self, now: float) -> None:
        """The server of this turn is of no use: the next one."""
        self.server = (self.server + 1) % self._servers
        self.at = now + (next(self._pauses) if self.server == 0 else 0.0)

    def stands(self) -> None:
        """The server of this turn is of use: what failed before counts no more."""
        self._pauses = _pauses()

    def lost(self, now: float) -> None:
        """A connection that stood is gone: from the first server on."""
        self.server = 0
        self.at = now + next(self._pauses)


def _pauses() -> Iterator[float]:
    """Seconds before each round of attempts: about 1, 2, 4 … 60; a hall of devices must not come back in step."""
    pause = 2.0
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(2.0 * pause, _LONGEST_PAUSE_S)
