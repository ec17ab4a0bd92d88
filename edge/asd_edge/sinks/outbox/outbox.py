"""Events wait on the disk until they are confirmed, within bounds, whatever happens to the disk."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, time
from typing import TypeVar

from asd_edge.config import OutboxTable
from asd_edge.sinks.outbox.database import DamagedError, Database, DiskFaultError, salvaged
from asd_edge.sinks.outbox.ids import IdPromise
from asd_edge.sinks.outbox.reserve import Reserve
from asd_edge.sinks.outbox.rows import Entry, Lane, OutboxReport, Row

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_DROPPED_AT_ONCE = 1_000
_DROPPED_FOR_ROOM = 200  # on a full disk a deletion must be small: it is written to the log first
_FULL = "the disk is full: new events take the place of the oldest scores"
_HOUR_S = 3_600.0
_TRY_AGAIN_S = 5.0  # between two attempts at a disk that fails
_ROUND_S = 1.0  # between two looks at bounds and replay window


class Outbox:
    """The events of one destination. One thread uses it; only `report` may be read by others.

    Args:
        path: its file; `.ids.json`, `.reserve` and a damaged predecessor lie beside it.
        limits: bounds and replay window.
        clock: seconds that no clock setting moves.
    """

    def __init__(self, path: Path, limits: OutboxTable, clock: Callable[[], float] = monotonic) -> None:
        self.report = OutboxReport()
        """How it does, as of the last call."""
        self._path, self._limits, self._clock = path, limits, clock
        self._reserve = Reserve(path.with_suffix(".reserve"))
        self._promise = IdPromise(path.with_suffix(".ids.json"))
        self._database: Database | None = None
        self._confirmed: list[int] = []  # not on the disk as such yet: they ride on the next commit
        self._denied: list[int] = []
        self._settlement = 0
        self._settled_at: deque[tuple[float, int]] = deque()  # when each settlement was
        self._waiting = dict.fromkeys(Lane, 0)
        self._parked = 0
        self._uncommitted = 0
        self._uncounted = dict.fromkeys(Lane, 0)  # given up while the disk failed
        self._held = False  # whether the file may not grow, because the disk is full
        self._fault: str | None = None
        self._damage: str | None = None
        self._retry_at = self._round_at = self._hour_at = clock()

    # --- what its thread calls ---

    def commit(self, entries: Sequence[Entry]) -> list[Row] | None:
        """Write events; they are on the disk on return, and so is what was confirmed before. None: the disk fails."""
        return self._try(lambda database: self._commit(database, entries))

    def waiting(self, lane: Lane, *, after: int, limit: int, up_to: int | None = None) -> list[Row]:
        """Return the oldest waiting events of a lane with ids above `after`; none while the disk fails."""
        if not self._waiting[lane] or limit == 0:
            return []
        return self._try(lambda database: database.waiting(lane, after=after, limit=limit, up_to=up_to)) or []

    def settle(self, ids: Iterable[int]) -> None:
        """Note that the broker has confirmed events; they are kept for the replay window."""
        self._confirmed += ids

    def park(self, ids: Iterable[int]) -> None:
        """Note that the broker has refused events; they are kept until `unpark`."""
        self._denied += ids

    def unpark(self) -> None:
        """Let refused events wait again: the rights may be others by now."""
        if self._parked or self._denied:
            self._change(Database.unpark)

    def unsettle(self) -> None:
        """Let what was confirmed within the replay window wait again: the broker may have lost it."""
        self._change(Database.unsettle)

    def uncommitted(self, events: int) -> None:
        """Count events that were sent without being on the disk."""
        self._uncommitted += events
        self._tell()

    def dropped(self, entry: Entry) -> None:
        """Count an event that never came onto the disk."""
        self._uncounted[entry.lane] += 1
        self._tell()

    @property
    def unconfirmed(self) -> int:
        """How many events wait right now, `report` is a little older."""
        return sum(self._waiting.values()) - len(self._confirmed) - len(self._denied)

    @property
    def last_id(self) -> int:
        """The last id that was used; 0 before the first one, and while the disk fails."""
        return self._try(Database.last_id) or 0

    def tick(self) -> None:
        """Look after replay window and bounds; called at least once a second."""
        now = self._clock()
        if now < self._round_at:
            return
        self._round_at = now + _ROUND_S
        if self._confirmed or self._denied:  # a commit of its own for every confirmation would wear flash out
            self.commit(())
        self._try(self._look_after)
        self._tell()

    def flush(self) -> None:
        """Write what is left to write, and bring the report up to date."""
        self.commit(())
        self._tell()

    def close(self) -> None:
        """Write what is left to write, and let go of the file."""
        self.flush()
        if self._database is not None:
            self._database.close()
            self._database = None

    # --- how ---

    def _commit(self, database: Database, entries: Sequence[Entry]) -> list[Row]:
        self._promise.cover(database.last_id() + len(entries))
        settlement = self._settlement + 1
        with database.transaction():
            rows = [Row(database.insert(entry), entry) for entry in entries]
            settled = database.settle(self._confirmed, settlement)
            parked = database.park(self._denied)
            for lane, events in self._uncounted.items():
                database.count_dropped(lane, events)
        for row in rows:
            self._waiting[row.entry.lane] += 1
        for lane in Lane:
            self._waiting[lane] -= settled[lane] + parked[lane]
        self._parked += sum(parked.values())
        if any(settled.values()):
            self._settlement = settlement
            self._settled_at.append((self._clock(), settlement))
        self._confirmed, self._denied = [], []
        self._uncounted = dict.fromkeys(Lane, 0)
        return rows

    def _change(self, change: Callable[[Database], None]) -> None:
        self.commit(())  # what was confirmed so far

        def work(database: Database) -> None:
            with database.transaction():
                change(database)
            self._settled_at.clear()
            self._count(database)

        self._try(work)
        self._tell()

    def _look_after(self, database: Database) -> None:
        now = self._clock()
        over = 0
        while self._settled_at and now - self._settled_at[0][0] > self._limits.replay_s:
            over = self._settled_at.popleft()[1]
        hour = now - self._hour_at >= _HOUR_S
        if over or hour:
            with database.transaction():
                database.forget_settled(over)
                last_id = database.mark_hour(self._limits.max_age_h) if hour else None
                if last_id is not None:
                    database.drop_until(last_id)
        if hour:
            self._hour_at = now
            self._count(database)
        while database.size() > self._limits.max_mib << 20 and self._drop(database, _DROPPED_AT_ONCE):
            pass
        if self._reserve.take() and self._held:  # there is room again
            database.free_size()
            self._held = False

    def _drop(self, database: Database, most: int) -> int:
        """Give up some of the oldest events, scores first; return how many."""
        for lane in Lane:
            with database.transaction():
                dropped = database.drop_oldest(lane, most)
            if dropped:
                self._count(database)
                return dropped
        return 0

    def _count(self, database: Database) -> None:
        self._waiting = {lane: database.count(0, lane) for lane in Lane}
        self._parked = sum(database.count(-1, lane) for lane in Lane)

    def _try(self, work: Callable[[Database], _Result]) -> _Result | None:
        """Do something with the file; on a full disk make room, from a damaged file go on with another, once."""
        for attempt in (1, 2):
            try:
                result = work(self._opened())
            except DiskFaultError as error:
                if attempt == 1 and error.full and self._make_room():
                    continue
                self._failed(str(error))
                return None
            except DamagedError as error:
                if attempt == 1 and self._replace(str(error)):
                    continue
                self._failed(str(error))
                return None
            except OSError as error:
                self._failed(error.strerror or str(error))
                return None
            if self._fault is not None:
                _log.info("The outbox %s is written to again", self._path)
                self._fault = None
            return result
        return None

    def _opened(self) -> Database:
        if self._database is None:
            if self._fault is not None and self._clock() < self._retry_at:
                raise DiskFaultError(self._fault)
            self._retry_at = self._clock() + _TRY_AGAIN_S
            database = Database(self._path, first_id=self._promise.below)
            self._settlement = database.last_settlement()
            self._count(database)
            self._settled_at.clear()
            if self._settlement:  # the window begins anew: how long they were kept before nobody knows
                self._settled_at.append((self._clock(), self._settlement))
            self._database, self._held = database, False
        return self._database

    def _make_room(self) -> bool:
        """On a full disk, give up a few of the oldest events; their pages are what new ones go to from now on."""
        database = self._database
        if database is None:
            return False
        if not self._held:
            self._reserve.release()  # the log may hold pages that the file has no room for yet
            with suppress(DiskFaultError, DamagedError):
                database.hold_size()
                self._held = True
        with suppress(DiskFaultError, DamagedError):
            return self._drop(database, _DROPPED_FOR_ROOM) > 0
        return False

    def _failed(self, fault: str) -> None:
        if self._fault is None:  # said once
            _log.error(
                "The outbox %s cannot be used: %s. Events are kept in memory, a few, and sent", self._path, fault
            )
        self._fault = fault
        if self._database is not None and not fault.endswith("full"):
            self._database.close()  # a file system may be mounted anew under it
            self._database = None
        self._tell()

    def _replace(self, damage: str) -> bool:
        """Set a damaged file aside, and go on with a new one that takes over what can be read."""
        if self._database is not None:
            self._database.close()
            self._database = None
        known = sum(self._waiting.values()) + self._parked
        aside = self._path.with_suffix(".damaged.db")
        try:
            for ending in ("", "-wal", "-shm"):
                part = Path(f"{self._path}{ending}")
                if part.exists():
                    part.replace(f"{aside}{ending}")
            database = Database(self._path, first_id=self._promise.below)
            taken = 0
            with database.transaction():
                for row in salvaged(aside):
                    database.insert(row.entry, number=row.id)
                    taken += 1
                lost = max(0, known - taken)
                database.count_dropped(Lane.SCORE, lost)
        except (OSError, DiskFaultError, DamagedError) as error:
            self._fault = str(error)
            return False
        database.close()
        missing = f"{lost} were lost" if known else "how many were lost is not known"
        self._damage = f"it was damaged ({damage}): {taken} waiting events were taken over, {missing}; see {aside.name}"
        _log.error("The outbox %s begins anew: %s", self._path, self._damage)
        return True

    def _tell(self) -> None:
        oldest, dropped = None, {Lane.SCORE: self.report.dropped_scores, Lane.ALARM: self.report.dropped_alarms}
        if self._database is not None:
            with suppress(DiskFaultError, DamagedError):  # whoever works with it next will say so
                oldest = self._database.oldest_time()
                dropped = {lane: count + self._uncounted[lane] for lane, count in self._database.dropped().items()}
        self.report = OutboxReport(
            waiting=sum(self._waiting.values()),
            oldest_s=None if oldest is None else max(0.0, time() - oldest),
            parked=self._parked,
            dropped_scores=dropped[Lane.SCORE],
            dropped_alarms=dropped[Lane.ALARM],
            uncommitted=self._uncommitted,
            fault=self._fault or (_FULL if self._held else self._damage),
        )
