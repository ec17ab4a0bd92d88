"""The file of an outbox: SQLite with a write-ahead log, whole after kill -9 and power cuts (sqlite.org/wal.html)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from asd_edge.sinks.outbox.faults import DamagedError, DiskFaultError, classified

_APPLICATION_ID: Final = 0x61736465  # "asde"
_VERSION: Final = 1
_ROOM_BYTES = 2 << 20
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
CREATE TABLE latest (machine TEXT PRIMARY KEY, id INTEGER NOT NULL, time REAL NOT NULL, body BLOB NOT NULL);
CREATE TABLE dropped (lane INTEGER PRIMARY KEY, events INTEGER NOT NULL);
INSERT INTO dropped VALUES (0, 0), (1, 0);
"""


class SqliteFile:
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
        for pragma in ("synchronous = FULL", "wal_autocheckpoint = 256", f"journal_size_limit = {2 * _ROOM_BYTES}"):
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
        self._take_room()

    def _take_room(self) -> None:
        """Let the file have free pages and the log its length, for the day when the disk is full."""
        with suppress(DiskFaultError):  # today is the day
            with self.transaction():
                self._connection.execute("DROP TABLE IF EXISTS room")  # of a start that was killed just here
                self._connection.execute("CREATE TABLE room AS SELECT zeroblob(?)", (_ROOM_BYTES,))
            with self.transaction():
                self._connection.execute("DROP TABLE room")

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

    def size(self) -> int:
        """Return the bytes that hold events; the file may be larger, for what was deleted is used again."""
        with classified():
            pages = self._value("PRAGMA page_count") - self._value("PRAGMA freelist_count")
            return int(pages * self._value("PRAGMA page_size"))

    def _value(self, statement: str, *values: Any) -> Any:
        row = self._connection.execute(statement, values).fetchone()
        return None if row is None else row[0]
