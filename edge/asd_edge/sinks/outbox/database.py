"""The file of an outbox: SQLite with a write-ahead log, whole after kill -9 and power cuts (sqlite.org/wal.html)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from asd_edge.sinks.outbox.faults import DamagedError, classified
from asd_edge.sinks.outbox.rows import Entry, Lane, Row, row_of

_APPLICATION_ID: Final = 0x61736465  # "asde"
_VERSION: Final = 1
_MOST_PAGES = 1 << 30  # SQLite's own default
_BUSY_S = 5.0  # somebody looks at the file with a tool of his own

# state: 0 waits, -1 parked, n > 0 confirmed in settlement n and kept for the replay window.
_SCHEMA = """
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lane INTEGER NOT NULL,
    machine TEXT NOT NULL,
    kind TEXT NOT NULL,
    time REAL NOT NULL,
    body BLOB NOT NULL,
    state INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX waiting ON event (lane, id) WHERE state = 0;
CREATE INDEX parked ON event (lane, id) WHERE state = -1;
CREATE INDEX settled ON event (state) WHERE state > 0;
CREATE TABLE hour (number INTEGER PRIMARY KEY, last_id INTEGER NOT NULL);
CREATE TABLE dropped (lane INTEGER PRIMARY KEY, events INTEGER NOT NULL);
INSERT INTO dropped VALUES (0, 0), (1, 0);
"""


class Database:
    """One outbox file, used by one thread.

    Raises:
        DiskFaultError: it cannot be opened.
        DamagedError: it is no outbox of this version.
    """

    def __init__(self, path: Path, *, first_id: int) -> None:
        with classified():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(first_id)
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, first_id: int) -> None:
        self._value("PRAGMA journal_mode = WAL")
        for pragma in ("synchronous = FULL", "wal_autocheckpoint = 256", "journal_size_limit = 1048576"):
            self._connection.execute(f"PRAGMA {pragma}")
        made = self._value("PRAGMA user_version")
        if made == 0 and self._value("SELECT count(*) FROM sqlite_master") == 0:
            with self.transaction():
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute("INSERT INTO sqlite_sequence VALUES ('event', ?)", (first_id - 1,))
                self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif (made, self._value("PRAGMA application_id")) != (_VERSION, _APPLICATION_ID):
            raise DamagedError(f"version {made} of the file, not {_VERSION}")

    def close(self) -> None:
        """Let go of the file; everything committed is on the disk."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def hold_size(self) -> None:
        """Let the file be no larger than it is, so that the log never holds a page that the disk has no room for."""
        with classified():
            self._value("PRAGMA wal_checkpoint(RESTART)")
            self._value(f"PRAGMA max_page_count = {self._value('PRAGMA page_count')}")

    def free_size(self) -> None:
        """Let the file grow again."""
        with classified():
            self._value(f"PRAGMA max_page_count = {_MOST_PAGES}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of it or nothing; it is on the disk when the block has ended.

        Raises:
            DiskFaultError, DamagedError: nothing was done.
        """
        with classified():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")  # SQLite may have done so itself
                raise

    # --- inside a transaction ---

    def insert(self, entry: Entry, *, number: int | None = None) -> int:
        """Append an event; return its id, which is the next one unless `number` says otherwise."""
        cursor = self._connection.execute(
            "INSERT INTO event (id, lane, machine, kind, time, body) VALUES (?, ?, ?, ?, ?, ?)",
            (number, int(entry.lane), entry.machine, entry.kind, entry.time, entry.body),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def settle(self, ids: list[int], settlement: int) -> dict[Lane, int]:
        """Mark waiting events as confirmed; return how many there were of each lane."""
        return self._change("UPDATE event SET state = ? WHERE id = ? AND state = 0 RETURNING lane", settlement, ids)

    def park(self, ids: list[int]) -> dict[Lane, int]:
        """Set waiting events aside; return how many there were of each lane."""
        return self._change("UPDATE event SET state = ? WHERE id = ? AND state = 0 RETURNING lane", -1, ids)

    def unpark(self) -> None:
        """Let parked events wait again."""
        self._connection.execute("UPDATE event SET state = 0 WHERE state = -1")

    def unsettle(self) -> None:
        """Let confirmed events wait again. An alarm that is not its machine's latest is history: sent again on its own
        topic, it would stand there for a moment."""
        self._connection.execute(
            "UPDATE event SET lane = 0 WHERE state > 0 AND kind = 'alarm' AND id NOT IN "
            "(SELECT max(id) FROM (SELECT id, machine FROM event WHERE state > 0 AND kind = 'alarm' UNION ALL "
            "SELECT id, machine FROM event WHERE lane = 1 AND state = 0 AND kind = 'alarm') GROUP BY machine)"
        )
        self._connection.execute("UPDATE event SET state = 0 WHERE state > 0")

    def forget_settled(self, up_to: int) -> None:
        """Delete what was confirmed in a settlement up to this one."""
        self._connection.execute("DELETE FROM event WHERE state > 0 AND state <= ?", (up_to,))

    def _drop_oldest(self, lane: Lane, most: int) -> int:
        dropped = 0
        for state in (-1, 0):  # each in its own index
            dropped += self._connection.execute(
                "DELETE FROM event WHERE id IN "
                f"(SELECT id FROM event WHERE lane = ? AND state = {state:d} ORDER BY id LIMIT ?)",
                (int(lane), most - dropped),
            ).rowcount
        self.count_dropped(lane, dropped)
        return dropped

    def drop_until(self, last_id: int) -> None:
        """Delete events up to an id that nobody has confirmed, and count them."""
        for lane in Lane:
            dropped = self._connection.execute(
                "DELETE FROM event WHERE lane = ? AND state <= 0 AND id <= ?", (int(lane), last_id)
            ).rowcount
            self.count_dropped(lane, dropped)

    def count_dropped(self, lane: Lane, events: int) -> None:
        """Remember that so many more were given up."""
        if events:
            self._connection.execute("UPDATE dropped SET events = events + ? WHERE lane = ?", (events, int(lane)))

    def mark_hour(self, keep: int) -> int | None:
        """Note that an hour has passed; return the last id of the hour `keep` hours ago, None if there is none."""
        self._connection.execute("INSERT INTO hour (last_id) SELECT coalesce(max(id), 0) FROM event")
        newest = self._value("SELECT max(number) FROM hour")
        last_id: int | None = self._value("SELECT max(last_id) FROM hour WHERE number <= ?", newest - keep)
        self._connection.execute("DELETE FROM hour WHERE number <= ?", (newest - keep,))
        return last_id

    # --- at any time ---

    def drop_oldest(self, most: int, *, up_to: Lane = Lane.ALARM) -> int:
        """Delete the oldest events that nobody has confirmed, scores before alarms, and count them; return how many.

        `up_to`: what may be deleted at all.
        """
        for lane in Lane:
            if lane > up_to:
                break
            with self.transaction():
                dropped = self._drop_oldest(lane, most)
            if dropped:
                return dropped
        return 0

    def waiting(self, lane: Lane, *, after: int, limit: int, up_to: int | None) -> list[Row]:
        """Return the oldest waiting events of a lane with ids above `after` and, if given, at most `up_to`."""
        last = (1 << 62) if up_to is None else up_to
        with classified():
            found = self._connection.execute(
                "SELECT id, lane, machine, kind, time, body FROM event "
                "WHERE lane = ? AND state = 0 AND id > ? AND id <= ? ORDER BY id LIMIT ?",
                (int(lane), after, last, limit),
            )
            return [row_of(*values) for values in found]

    def count(self, state: int, lane: Lane) -> int:
        """Return how many events of a lane wait (0) or are parked (-1)."""
        with classified():
            return int(self._value(f"SELECT count(*) FROM event WHERE lane = ? AND state = {state:d}", int(lane)))

    def oldest_time(self) -> float | None:
        """Return the time of the oldest waiting event."""
        with classified():
            oldest = [
                row
                for lane in Lane
                for row in self._connection.execute(
                    "SELECT id, time FROM event WHERE lane = ? AND state = 0 ORDER BY id LIMIT 1", (int(lane),)
                )
            ]
        return min(oldest)[1] if oldest else None

    def dropped(self) -> dict[Lane, int]:
        """Return how many events of each lane were given up, ever."""
        with classified():
            return {Lane(lane): events for lane, events in self._connection.execute("SELECT lane, events FROM dropped")}

    def last_settlement(self) -> int:
        """Return the number of the last settlement that left something."""
        with classified():
            return int(self._value("SELECT coalesce(max(state), 0) FROM event WHERE state > 0"))

    def last_id(self) -> int:
        """Return the last id that was used."""
        with classified():
            return int(self._value("SELECT coalesce(max(seq), 0) FROM sqlite_sequence"))

    def size(self) -> int:
        """Return the bytes that hold events; the file may be larger, for what was deleted is used again."""
        with classified():
            pages = self._value("PRAGMA page_count") - self._value("PRAGMA freelist_count")
            return int(pages * self._value("PRAGMA page_size"))

    def _change(self, statement: str, state: int, ids: list[int]) -> dict[Lane, int]:
        changed = dict.fromkeys(Lane, 0)
        for number in ids:
            for (lane,) in self._connection.execute(statement, (state, number)):
                changed[Lane(lane)] += 1
        return changed

    def _value(self, statement: str, *values: Any) -> Any:
        row = self._connection.execute(statement, values).fetchone()
        return None if row is None else row[0]
