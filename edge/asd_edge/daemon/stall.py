"""Whether the scorer stands still: one run of it that does not end."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

_MOST_S = 2.0
"""A look counts for no more: a process that was stopped for a minute has not stood still for one."""


class Stall:
    """Counts, look by look, how long one run lasts.

    Args:
        limit_s: of one run.
        clock: seconds.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._looked = clock()
        self._run: int | None = None
        self._lasts_s = 0.0

    def look(self, run: int | None) -> bool:
        """Say whether the run has lasted beyond the limit. `run`: its number, None when none is in flight."""
        now = self._clock()
        since, self._looked = min(now - self._looked, _MOST_S), now
        self._lasts_s = self._lasts_s + since if run is not None and run == self._run else 0.0
        self._run = run
        return self._lasts_s > self._limit_s
