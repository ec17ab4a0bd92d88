"""Events wait on the disk until they are confirmed, within bounds, whatever happens to the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, time

from asd_edge.config import OutboxTable
from asd_edge.sinks.outbox.database import Database
from asd_edge.sinks.outbox.disk import Disk
from asd_edge.sinks.outbox.faults import DamagedError, DiskFaultError, classified
from asd_edge.sinks.outbox.rows import Entry, Lane, OutboxReport, Row

_DROPPED_AT_ONCE = 1_000
_HOUR_S = 3_600.0
_ROUND_S = 1.0  # between two looks at bounds and replay window


class Outbox:
    """The events of one destination. One thread uses it; only `report` may be read by others.

    Args:
        path: its file (see Disk).
        limits: bounds and replay window.
        clock: seconds that no clock setting moves.
    """

    def __init__(self, path: Path, limits: OutboxTable, clock: Callable[[], float] = monotonic) -> None:
        self.report = OutboxReport()
        """How it does, as of the last call."""
        self._limits, self._clock = limits, clock
        self._disk = Disk(path, clock, self._count, lambda: sum(self._waiting.values()) + self._parked)
        self._confirmed: list[int] = []  # not on the disk as such yet: they ride on the next commit
        self._denied: list[int] = []
        self._changes: list[Callable[[Database], None]] = []  # asked for, and not done while the disk fails
        self._settlement: int | None = None
        self._settled_at: deque[tuple[float, int]] = deque()  # when each settlement was
        self._waiting = dict.fromkeys(Lane, 0)
        self._parked = 0
        self._uncommitted = 0
        self._uncounted = dict.fromkeys(Lane, 0)  # given up while the disk failed
        self._round_at = self._hour_at = clock()

    # --- what its thread calls ---

    def commit(self, entries: Sequence[Entry]) -> list[Row] | None:
        """Write events; they are on the disk on return, and so is what was confirmed before. None: the disk fails."""
        dearest = max((entry.lane for entry in entries), default=Lane.SCORE)
        return self._disk.do(lambda database: self._commit(database, entries), dearest)

    def waiting(self, lane: Lane, *, after: int, limit: int, up_to: int | None = None) -> list[Row]:
        """Return the oldest waiting events of a lane with ids above `after`; none while the disk fails."""
        if not self._waiting[lane] or limit == 0:
            return []
        return self._disk.do(lambda database: database.waiting(lane, after=after, limit=limit, up_to=up_to)) or []

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
        return self._disk.do(Database.last_id) or 0

    def tick(self) -> None:
        """Look after replay window and bounds; called at least once a second."""
        now = self._clock()
        if now < self._round_at:
            return
        self._round_at = now + _ROUND_S
        if self._confirmed or self._denied:  # a commit of its own for every confirmation would wear flash out
            self.commit(())
        self._change()
        self._disk.do(self._look_after)
        self._disk.look_after()
        self._tell()

    def flush(self) -> None:
        """Write what is left to write, and bring the report up to date."""
        self.commit(())
        self._tell()

    def close(self) -> None:
        """Write what is left to write, and let go of the file."""
        self.flush()
        self._disk.close()

    # --- how ---

    def _commit(self, database: Database, entries: Sequence[Entry]) -> list[Row]:
        with classified():
            self._disk.promise.cover(database.last_id() + len(entries))
        settlement = (self._settlement or 0) + 1
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

    def _change(self, *changes: Callable[[Database], None]) -> None:
        self._changes += changes
        if not self._changes:
            return
        self.commit(())  # what was confirmed so far

        def work(database: Database) -> None:
            with database.transaction():
                for change in self._changes:
                    change(database)
            self._changes = []
            self._settled_at.clear()
            self._count(database)

        self._disk.do(work)
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
        while database.size() > self._limits.max_mib << 20 and database.drop_oldest(_DROPPED_AT_ONCE):
            self._count(database)

    def _count(self, database: Database) -> None:
        """Find out what is in the file."""
        self._waiting = {lane: database.count(0, lane) for lane in Lane}
        self._parked = sum(database.count(-1, lane) for lane in Lane)
        if self._settlement is None:
            self._settlement = database.last_settlement()
            if self._settlement:  # the window begins anew: how long they were kept before nobody knows
                self._settled_at.append((self._clock(), self._settlement))

    def _tell(self) -> None:
        oldest, dropped = None, {Lane.SCORE: self.report.dropped_scores, Lane.ALARM: self.report.dropped_alarms}
        if (database := self._disk.database) is not None:
            with suppress(DiskFaultError, DamagedError):  # whoever works with it next will say so
                oldest = database.oldest_time()
                dropped = {lane: count + self._uncounted[lane] for lane, count in database.dropped().items()}
        self.report = OutboxReport(
            waiting=sum(self._waiting.values()),
            oldest_s=None if oldest is None else max(0.0, time() - oldest),
            parked=self._parked,
            dropped_scores=dropped[Lane.SCORE],
            dropped_alarms=dropped[Lane.ALARM],
            uncommitted=self._uncommitted,
            fault=self._disk.fault,
        )
