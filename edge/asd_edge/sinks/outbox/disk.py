"""The file of an outbox through everything that may happen to it: full disk, failing disk, damage."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from asd_edge.sinks.outbox.database import Database
from asd_edge.sinks.outbox.faults import DamagedError, DiskFaultError, classified
from asd_edge.sinks.outbox.ids import IdPromise
from asd_edge.sinks.outbox.replacement import Replacement
from asd_edge.sinks.outbox.reserve import Reserve
from asd_edge.sinks.outbox.rows import Lane

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_DROPPED_FOR_ROOM = 200  # events; on a full disk a deletion must be small: it is written to the log first
_TRY_AGAIN_S = 5.0  # between two attempts at a disk that fails
_FULL = "the disk is full: new events take the place of the oldest scores"
_NO_ROOM = "the disk is full, and events are sent without being kept"


class Disk:
    """Opens the file when it is needed, and again after a fault; what cannot be mended is said in `fault`.

    Args:
        path: the file; `.ids.json`, `.reserve` and a damaged predecessor lie beside it.
        clock: seconds that no clock setting moves.
        opened: called with a file that was opened, and after events were given up for want of room.
        known: how many events of each lane wait in the file, as far as is known.
        beat: called every now and then in work that is long.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float],
        opened: Callable[[Database], None],
        known: Callable[[], dict[Lane, int]],
        beat: Callable[[], None],
    ) -> None:
        self.promise = IdPromise(path.with_suffix(".ids.json"))
        self.database: Database | None = None
        """The open file."""
        self._path, self._clock, self._opened, self._known = path, clock, opened, known
        self._reserve = Reserve(path.with_suffix(".reserve"))
        self._replacement = Replacement(path, beat)
        self._retry_at = clock()
        self._held = False  # whether the file may not grow, because the disk is full
        self._fault: str | None = None
        self._damage: str | None = None

    @property
    def fault(self) -> str | None:
        """What is wrong with the disk or the file, or was wrong with its predecessor; None when nothing is."""
        return self._fault or (_FULL if self._held else self._damage)

    def write(self, work: Callable[[Database], _Result], dearest: Lane = Lane.SCORE) -> _Result | None:
        """Write events to the file, as `read` reads; when it succeeds the disk is well.

        `dearest`: what may be given up for it on a full disk, so that no alarm ever makes room for a score.
        """
        result = self.read(work, dearest)
        if result is not None and self._fault is not None:
            self._say(logging.INFO, "is written to again")
            self._fault = None
        return result

    def read(self, work: Callable[[Database], _Result], dearest: Lane = Lane.SCORE) -> _Result | None:
        """Do something with the file; on a full disk make room, from a damaged file go on with another, once.

        None: it could not be done, as `fault` says.
        """
        for attempt in (1, 2):
            try:
                result = work(self._open())
            except DiskFaultError as error:
                if attempt == 1 and error.full and self._make_room(dearest):
                    continue
                self._fail(str(error), full=error.full)
                return None
            except DamagedError as error:
                if attempt == 1 and self._replace(str(error)):
                    continue
                self._fail(str(error))
                return None
            return result
        return None

    def look_after(self) -> None:
        """Take back what was held back for a full disk, when there is room again."""
        if self._reserve.take() and self._held and self.database is not None:
            with suppress(DiskFaultError, DamagedError):
                self.database.free_size()
                self._held = False
                _log.info("The disk of the outbox %s has room again", self._path)

    def close(self) -> None:
        """Let go of the file."""
        if self.database is not None:
            self.database.close()
            self.database = None

    def _open(self) -> Database:
        if self.database is None:
            if self._fault is not None and self._clock() < self._retry_at:
                raise DiskFaultError(self._fault)
            self._retry_at = self._clock() + _TRY_AGAIN_S
            with classified():
                self._replacement.put_in_place()
            database = Database(self._path, first_id=self.promise.below)
            self._opened(database)
            self.promise.cover(database.last_id())
            self.database, self._held = database, False
        return self.database

    def _make_room(self, dearest: Lane) -> bool:
        """On a full disk, give up a few of the oldest events; their pages are what new ones go to from now on."""
        database = self.database
        if database is None:
            return False
        dropped = 0
        with suppress(DiskFaultError, DamagedError):
            if not self._held:
                _log.error("The disk of the outbox %s is full: new events take the place of the oldest", self._path)
                self._reserve.release()  # the log may hold pages that the file has no room for yet
                database.hold_size()
                self._held = True
            with database.transaction():
                dropped = database.drop_oldest(_DROPPED_FOR_ROOM, up_to=dearest)
            self._opened(database)
            if not dropped:  # nothing to give up: whatever room the disk has by now is what is left
                database.free_size()
                self._held = False
                return True
        return dropped > 0

    def _fail(self, fault: str, *, full: bool = False) -> None:
        if self._fault is None:  # said once
            self._say(logging.ERROR, f"cannot be used: {fault}. A few events are kept in memory")
        self._fault = _NO_ROOM if full else fault
        if not full:
            self.close()  # a file system may be mounted anew under it

    def _say(self, level: int, how: str) -> None:
        """Log how the file does; not while the disk is full, when that changes with every event."""
        if not self._held:
            _log.log(level, "The outbox %s %s", self._path, how)

    def _replace(self, damage: str) -> bool:
        """Go on with a new file that takes over what can be read of a damaged one."""
        self.close()
        known = self._known()
        try:
            with classified():
                taken = self._replacement.build(first_id=self.promise.below, known=known)
                self._replacement.swap()
        except (DiskFaultError, DamagedError) as error:
            self._fail(f"{damage}, and no other one can be made: {error}")
            return False
        missing = sum(known.values()) - taken
        lost = f"{max(0, missing)} were lost" if any(known.values()) else "how many were lost is not known"
        aside = self._replacement.aside.name
        self._damage = f"it was damaged ({damage}): {taken} waiting events were taken over, {lost}; see {aside}"
        _log.error("The outbox %s begins anew: %s", self._path, self._damage)
        return True
