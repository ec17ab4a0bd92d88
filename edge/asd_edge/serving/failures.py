"""Engines that failed: why, how often, and when another attempt makes sense."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from time import time
from typing import Annotated, Final, Literal

from pydantic import Field

from asd_edge.atomic import atomic_write
from asd_edge.strict import Count, RefusalError, Strict, Text, UtcTime, parse_versioned, utc_time

_log = logging.getLogger(__name__)

FORMAT: Final = "asd-edge-engine-failures"
VERSION: Final = 1

# [ours] A build takes minutes of a device's idle time. What fails for a lack of memory or time may succeed on a quieter
# day; what fails for its graph never will, and a new TensorRT has another key. So: soon once, then rarely.
_FIRST_WAIT_S, _LONGEST_WAIT_S, _GROWTH = 3600.0, 7 * 86_400.0, 4.0
_MOST = 32
"""Failures that are remembered, the newest [ours]: every bundle and every TensorRT has keys of its own."""


class Failure(Strict):
    """The last of `attempts` that failed in a row. `what`: engine and precision, for people."""

    what: Text
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    attempts: Count
    time_utc: UtcTime

    @property
    def again_at(self) -> float:
        """UTC seconds from which another attempt makes sense."""
        at = datetime.fromisoformat(self.time_utc.removesuffix("Z")).replace(tzinfo=timezone.utc).timestamp()
        return at + min(_FIRST_WAIT_S * _GROWTH ** min(self.attempts - 1, 8), _LONGEST_WAIT_S)


class _Failures(Strict):
    format: Literal["asd-edge-engine-failures"] = FORMAT
    version: Literal[1] = VERSION
    failures: dict[str, Failure] = Field(default_factory=dict)


class FailureBook:
    """What is remembered in a file of the engine cache; losing it costs a build, so no error of the file is one.

    Args:
        folder: of the cache.
        clock: UTC seconds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time) -> None:
        self._path = folder / "failures.json"
        self._clock = clock

    def failure(self, key: str) -> Failure | None:
        """Return why the engine of that key failed the last time; None when nothing is known."""
        return self.failures().get(key)

    def failures(self) -> dict[str, Failure]:
        """Return all that is remembered, by the key of the engine."""
        return self._load().failures

    def waits(self, key: str) -> Failure | None:
        """Return the failure after which it is too early for another attempt; None when one makes sense.

        A failure in the future is of a clock that was wrong: it does not hold one up.
        """
        failure = self.failure(key)
        now = self._clock()
        if failure is None or now >= failure.again_at or utc_time(now) < failure.time_utc:
            return None
        return failure

    def note(self, key: str, what: str, reason: str) -> Failure:
        """Remember another failed attempt."""
        known = self.failures()
        attempts = min(known[key].attempts + 1, 65_536) if key in known else 1
        said = reason.strip()[:1000] or "no reason given"
        failure = Failure(what=what, reason=said, attempts=attempts, time_utc=utc_time(self._clock()))
        others = sorted(((k, f) for k, f in known.items() if k != key), key=lambda item: item[1].time_utc)
        self._save({**dict(others[1 - _MOST :]), key: failure})
        return failure

    def forget(self, key: str) -> None:
        """Forget the failures of an engine that works, or that somebody wants to be tried again."""
        known = self.failures()
        if known.pop(key, None) is not None:
            self._save(known)

    def clear(self) -> None:
        """Forget all failures: every engine is tried again."""
        if self.failures():
            self._save({})

    def _load(self) -> _Failures:
        try:
            return parse_versioned(self._path.read_bytes(), _Failures, format=FORMAT, version=VERSION)
        except (FileNotFoundError, NotADirectoryError):
            return _Failures()
        except (OSError, RefusalError) as error:
            _log.warning("What engines failed is forgotten: %s has %s", self._path, error)
            return _Failures()

    def _save(self, failures: dict[str, Failure]) -> None:
        content = _Failures(failures=failures).model_dump(mode="json")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path, like=self._path.parent) as stream:
                stream.write(json.dumps(content, indent=1).encode() + b"\n")
        except OSError as error:
            _log.warning("An engine that failed is not remembered: %s", error)
