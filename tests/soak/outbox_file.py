"""What an outbox holds, read from its file by somebody who knows SQLite alone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """Ids go from 1 to `last_id`; `waiting` are those that nobody has confirmed."""

    last_id: int
    waiting: set[int]
    dropped: int

    def committed(self) -> range:
        """Return the ids of everything that was ever committed, if no file was ever replaced."""
        return range(1, self.last_id + 1)


def read_outbox(path: Path) -> Held:
    """Read the file of an outbox whose daemon has ended."""
    with closing(sqlite3.connect(path)) as outbox:
        if outbox.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise RuntimeError(f"{path} is damaged")
        (last_id,) = outbox.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()
        waiting = {number for (number,) in outbox.execute("SELECT id FROM event WHERE state <= 0")}
        (dropped,) = outbox.execute("SELECT sum(events) FROM dropped").fetchone()
    return Held(last_id, waiting, dropped)


def read_last_id(path: Path) -> int:
    """Return the last id that was committed to an outbox in use."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as outbox:
            (last_id,) = outbox.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()
            return int(last_id or 0)
    except sqlite3.OperationalError:  # it is not there yet
        return 0


def starts(path: Path) -> dict[str, list[int]]:
    """Return the first samples of every machine's scores that the file has, waiting and confirmed, by id."""
    found: dict[str, list[int]] = {}
    with closing(sqlite3.connect(path)) as outbox:
        for machine, body in outbox.execute("SELECT machine, body FROM event WHERE kind = 'score' ORDER BY id"):
            found.setdefault(machine, []).append(json.loads(body)["start"])
    return found
