"""Look at the hearts of all threads, and keep systemd's watchdog quiet only while all of them beat (sd_notify(3)).

But for a machine's thread that hangs in its source, a network share that is gone: another process would hang there too,
and no other machine would be heard meanwhile. It is told, and that is all.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from asd_edge.daemon.notify import notify
from asd_edge.daemon.stall import Stall
from asd_edge.heart import LIMIT_S, Heart

_log = logging.getLogger(__name__)

_ROUND_S = 0.5


@dataclass(slots=True)
class _Watched:
    stall: Stall
    in_source: Callable[[], bool]
    stuck: bool = False


class Watchdog:
    """Which threads stand still, as the main thread sees it in its rounds.

    A process that was stopped as a whole is not stuck: a look counts for two seconds at most.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.stuck: tuple[str, ...] = ()
        """Each thread that stands still or has died, and how; as of the last look."""
        self._clock = clock
        self._watched: dict[Heart, _Watched] = {}
        period_s = _systemd_waits_s()
        # Half of what systemd waits, as sd_watchdog_enabled(3) advises.
        self._every_s = None if period_s is None else period_s / 2.0
        self._told: float | None = None
        self.round_s = _ROUND_S if self._every_s is None else min(_ROUND_S, self._every_s / 2.0)
        """Seconds from one look to the next, at most."""

    def heart(self, name: str, limit_s: float = LIMIT_S) -> Heart:
        """Return the heart of another thread, which is watched from now on."""
        heart = Heart(name, limit_s)
        self.watch(heart)
        return heart

    def watch(self, heart: Heart, in_source: Callable[[], bool] = lambda: False) -> None:
        """Watch the heart of another thread from now on; `in_source`: whether the thread is in its machine's source."""
        self._watched[heart] = _Watched(Stall(heart.limit_s, self._clock), in_source)

    def hangs(self, heart: Heart) -> bool:
        """Say whether a thread was stuck at the last look; any thread may ask."""
        watched = self._watched.get(heart)
        return watched is not None and watched.stuck

    def forget(self, heart: Heart) -> None:
        """Watch it no more: its thread was told to end."""
        self._watched.pop(heart, None)

    def look(self) -> bool:
        """Look at every heart; tell systemd if all is in order. Return whether others are stuck than at the last."""
        found: list[str] = []
        mendable = False  # by another process
        for heart, watched in tuple(self._watched.items()):
            how = _trouble(heart, watched.stall)
            watched.stuck = how is not None
            if how is not None:
                found.append(how)
                mendable = mendable or not watched.in_source()
        stuck = tuple(found)
        for how in set(stuck) - set(self.stuck):
            _log.critical("A thread is stuck: %s", how, extra={"asd_event": "stuck"})
        if self.stuck and not stuck:
            _log.warning("No thread is stuck any more")
        changed, self.stuck = stuck != self.stuck, stuck
        now = self._clock()
        if self._every_s is not None and not mendable and (self._told is None or now - self._told >= self._every_s):
            self._told = now
            notify("WATCHDOG=1")
        return changed

    @property
    def threads(self) -> tuple[str, ...]:
        """The threads that are watched and run; any thread may ask."""
        return tuple(heart.name for heart in tuple(self._watched) if heart.alive)


def _trouble(heart: Heart, stall: Stall) -> str | None:
    stands = stall.look(heart.round)
    if heart.died is not None:
        return f"{heart.name} died of {heart.died}"
    return f"{heart.name} has not moved for {heart.limit_s:g} s" if stands else None


def _systemd_waits_s() -> float | None:
    """Return the unit's WatchdogSec; None when there is none, or when another process is meant."""
    pid, microseconds = os.environ.get("WATCHDOG_PID"), os.environ.get("WATCHDOG_USEC", "")
    if (pid is not None and pid != str(os.getpid())) or not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1e6
