"""What can still be read of a damaged outbox."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from asd_edge.sinks.outbox.rows import Lane, Row, row_of

# A header for every outbox, in place of one that is damaged (sqlite.org/fileformat2.html, 1.3): pages of 4096 bytes,
# write-ahead log, payload fractions; a change counter that no size was noted for, so the file's own counts; schema
# format 4; UTF-8.
_MAGIC = b"SQLite format 3\0"
_HEADER = _MAGIC + struct.pack(">H6BI16xI8xI40x", 4096, 2, 2, 0, 64, 32, 32, 1, 4, 1)


def salvaged(path: Path) -> Iterator[Row]:
    """Yield what nobody has confirmed of a damaged file, as far as it can be read: from both ends up to the damage.

    A header that is none is replaced in the file.
    """
    with suppress(OSError), path.open("r+b") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            file.seek(0)
            file.write(_HEADER)
    seen = 0
    for order in ("", " DESC"):
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
            found = connection.execute(
                f"SELECT id, lane, machine, kind, time, body FROM event WHERE state <= 0 AND id > ? ORDER BY id{order}",
                (seen,),
            )
            for values in found:
                with suppress(ValueError, TypeError):  # a damaged page may hold anything
                    row = row_of(*values)
                    json.loads(row.entry.body)
                    yield row
                    seen = max(seen, row.id) if not order else seen


def figures(path: Path) -> tuple[dict[Lane, int], list[tuple[int, int]], list[Row]]:
    """Return what a damaged outbox had counted as given up, the last ids of its hours, and the latest alarm of each
    machine; nothing where it cannot be read."""
    dropped: dict[Lane, int] = {}
    hours: list[tuple[int, int]] = []
    latest: list[Row] = []
    with suppress(sqlite3.Error, ValueError, TypeError), closing(sqlite3.connect(path)) as connection:
        latest = [
            row_of(number, 1, machine, "alarm", time, body)
            for number, machine, time, body in connection.execute("SELECT id, machine, time, body FROM latest")
        ]
        dropped = {Lane(lane): int(events) for lane, events in connection.execute("SELECT lane, events FROM dropped")}
        hours = [(int(number), int(last)) for number, last in connection.execute("SELECT number, last_id FROM hour")]
    return dropped, hours, latest
