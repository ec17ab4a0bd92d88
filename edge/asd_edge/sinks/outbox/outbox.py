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
from asd_edge.sinks.outbox.faults import DamagedError, DiskFaultError
from asd_edge.sinks.outbox.rows import Entry, Lane, OutboxReport, Row

_AT_ONCE = 5_000  # events in one transaction: about a tenth of a second, and 2 MiB of the log
_HOUR_S = 3_600.0
_ROUND_S = 1.0  # between two looks at bounds and replay window
_CLOCK_IS_SET = 1_577_836_800.0  # 2020: an event of before is one of a clock that was not


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
        self.beat: Callable[[], None] = lambda: None
        """Called every now and then in work that is long."""
        self.returned = 0
        """How often events that were out of sight have come to wait again: whoever reads on must begin anew."""
        self._limits, self._clock = limits, clock
        self._disk = Disk(path, clock, self._count, self._known, lambda: self.beat())
        self._confirmed: list[int] = []  # not on the disk as such yet: they ride on the next commit
        self._denied: list[int] = []
        self._unsettling = False
        self._unparking: dict[Lane, int] = {}  # for each lane the id that it has come to
        self._unpark_up_to = 0
        self._expire_up_to = 0
        self._settlement: int | None = None
        self._settled_at: deque[tuple[float, int]] = deque()  # when each settlement was
        self._waiting = dict.fromkeys(Lane, 0)
        self._parked = dict.fromkeys(Lane, 0)
        self._uncommitted = 0
        self._uncounted = dict.fromkeys(Lane, 0)  # given up while the disk failed
        self._round_at = self._hour_at = clock()

    # --- what its thread calls ---

    def commit(self, entries: Sequence[Entry]) -> list[Row] | None:
        """Write events; they are on the disk on return, and so is what was confirmed before. None: the disk fails."""
        if not (entries or self._confirmed or self._denied or any(self._uncounted.values())):
            return []
        dearest = max((entry.lane for entry in entries), default=Lane.SCORE)
        return self._disk.write(lambda database: self._commit(database, entries), dearest)

    def waiting(self, lane: Lane, *, after: int, limit: int, up_to: int | None = None) -> list[Row] | None:
        """Return the oldest waiting events of a lane with ids above `after`; None while the disk fails."""
        if limit == 0 or (self._disk.database is not None and not self._waiting[lane]):
            return []
        return self._disk.read(lambda database: database.waiting(lane, after=after, limit=limit, up_to=up_to))

    def forgotten_alarms(self) -> list[Row]:
        """Return the latest alarm of each machine that has been delivered, and deleted, long ago."""
        return self._disk.read(Database.forgotten_alarms) or []

    def settle(self, ids: Iterable[int]) -> None:
        """Note that the broker has confirmed events; they are kept for the replay window."""
        self._confirmed += ids

    def park(self, ids: Iterable[int]) -> None:
        """Note that the broker has refused events; they are kept until `unpark`."""
        self._denied += ids

    def unpark(self) -> None:
        """Let refused events wait again, some in every round: the rights may be others by now."""
        self._unparking = dict.fromkeys(reversed(Lane), 0)
        self._unpark_up_to = self.last_id or 0

    def unsettle(self) -> None:
        """Let what was confirmed within the replay window wait again: the broker may have lost it."""
        self._unsettling = True
        self._unsettle()
        self._tell()

    def uncommitted(self, events: int) -> None:
        """Count events that were sent without being on the disk."""
        self._uncommitted += events
        self._tell()

    def dropped(self, lane: Lane, events: int = 1) -> None:
        """Count events that never came onto the disk."""
        self._uncounted[lane] += events
        self._tell()

    @property
    def unconfirmed(self) -> int:
        """How many events wait right now; `report` is a little older."""
        return sum(self._waiting.values()) - len(self._confirmed) - len(self._denied)

    @property
    def last_id(self) -> int | None:
        """The last id that was used, 0 before the first one; None while the disk fails."""
        return self._disk.read(Database.last_id)

    def tick(self) -> None:
        """Look after replay window and bounds; called at least once a second."""
        now = self._clock()
        if now < self._round_at:
            return
        self._round_at = now + _ROUND_S
        self.commit(())  # a commit of its own for every confirmation would wear flash out
        self._unsettle()
        self._disk.read(self._look_after)
        self._disk.look_after()
        self._tell()

    def flush(self) -> None:
        """Write what is left to write, and bring the report up to date."""
        self.commit(())
        self._disk.read(Database.last_id)  # opens the file, if nothing has before
        self._tell()

    def close(self) -> None:
        """Write what is left to write, and let go of the file."""
        self.flush()
        self._disk.close()

    # --- how ---

    def _commit(self, database: Database, entries: Sequence[Entry]) -> list[Row]:
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
            self._parked[lane] += parked[lane]
        if any(settled.values()):
            self._settlement = settlement
            self._settled_at.append((self._clock(), settlement))
        self._confirmed, self._denied = [], []
        self._uncounted = dict.fromkeys(Lane, 0)
        return rows

    def _unsettle(self) -> None:
        """Do so in steps: a minute of draining may be hundreds of thousands of events."""
        if not self._unsettling or self.commit(()) is None:  # what was confirmed so far
            return

        def some(database: Database) -> int:
            with database.transaction():
                return database.unsettle(_AT_ONCE)

        while moved := self._disk.write(some):
            self.beat()
        if moved is not None:  # else the disk fails, and this goes on when it does not
            self._unsettling = False
            self._settled_at.clear()
            self._disk.read(self._count)
            self.returned += 1

    def _look_after(self, database: Database) -> bool:
        """Do a little of what is due; never long."""
        now = self._clock()
        with database.transaction():
            self._forget_settled(database, now)
            if now - self._hour_at >= _HOUR_S:
                self._hour_at = now
                self._expire_up_to = database.mark_hour(self._limits.max_age_h) or 0
            changed = database.drop_until(self._expire_up_to, _AT_ONCE) if self._expire_up_to else 0
            if not changed:
                self._expire_up_to = 0
            if database.size() > self._limits.max_mib << 20:
                changed += database.drop_oldest(_AT_ONCE)
            changed += self._unpark(database)
        if changed:
            self._count(database)
        return True

    def _forget_settled(self, database: Database, now: float) -> None:
        over = 0
        while self._settled_at and now - self._settled_at[0][0] > self._limits.replay_s and not self._unsettling:
            over = self._settled_at.popleft()[1]
        if over:
            database.forget_settled(over)

    def _unpark(self, database: Database) -> int:
        for lane, after in list(self._unparking.items()):
            last = database.unpark(lane, after=after, up_to=self._unpark_up_to, most=_AT_ONCE)
            if last is not None:
                self._unparking[lane] = last
                self.returned += 1
                return 1
            del self._unparking[lane]
        return 0

    def _known(self) -> dict[Lane, int]:
        return {lane: self._waiting[lane] + self._parked[lane] for lane in Lane}

    def _count(self, database: Database) -> None:
        """Find out what is in the file."""
        self._waiting = {lane: database.count(0, lane) for lane in Lane}
        self._parked = {lane: database.count(-1, lane) for lane in Lane}
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
        known = oldest is not None and oldest >= _CLOCK_IS_SET
        self.report = OutboxReport(
            waiting=sum(self._waiting.values()),
            oldest_s=max(0.0, time() - oldest) if known and oldest is not None else None,
            parked=sum(self._parked.values()),
            dropped_scores=dropped[Lane.SCORE],
            dropped_alarms=dropped[Lane.ALARM],
            uncommitted=self._uncommitted,
            fault=self._disk.fault,
        )
