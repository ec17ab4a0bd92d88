"""How old clips are: counted in seconds of running, for a device's wall clock may be anywhere before NTP sets it.

A clock that jumps a year ahead must not delete what was heard yesterday, and one that jumps back must not keep it
for ever. What is counted is the time that the daemon runs; while it does not, nobody hears and nothing ages [ours].
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final, Literal

from pydantic import Field

from asd_edge.atomic import atomic_write
from asd_edge.strict import RefusalError, Strict, parse_versioned

_FORMAT: Final = "asd-edge-running"
_VERSION: Final = 1


class _Running(Strict):
    format: Literal["asd-edge-running"] = _FORMAT
    version: Literal[1] = _VERSION
    running_s: float = Field(ge=0.0)


class RunningClock:
    """Seconds that the daemon has run in all, over restarts but for what was not saved.

    Args:
        path: the file that remembers it; one that is missing or damaged is replaced.
        at_least: what it must say already: the newest clip's time.
        clock: seconds that no setting of the time moves.
    """

    def __init__(self, path: Path, *, at_least: float = 0.0, clock: Callable[[], float] = monotonic) -> None:
        self._path = path
        self._clock = clock
        try:
            saved = parse_versioned(path.read_bytes(), _Running, format=_FORMAT, version=_VERSION).running_s
        except (OSError, RefusalError):
            saved = 0.0
        self._zero = clock() - max(saved, at_least)

    def now(self) -> float:
        """Return the seconds."""
        return self._clock() - self._zero

    def save(self) -> None:
        """Remember them.

        Raises:
            OSError: the folder is missing, read-only or full.
        """
        content = _Running(running_s=self.now()).model_dump(mode="json")
        with atomic_write(self._path, mode=0o600, like=self._path.parent) as stream:
            stream.write(json.dumps(content).encode() + b"\n")
