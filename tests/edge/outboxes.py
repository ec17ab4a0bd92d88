"""Outboxes under test: events to put in, what waits in them, a clock, and a disk without room."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Entry, Lane, Row


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def score(number: int, size: int = 0) -> Entry:
    body = {"machine": "fan", "number": number} | ({"filler": "x" * size} if size else {})
    return Entry(Lane.SCORE, "fan", "score", float(number), json.dumps(body).encode())


def alarm(number: int, machine: str = "fan") -> Entry:
    return Entry(Lane.ALARM, machine, "alarm", float(number), b'{"machine":"%s"}' % machine.encode())


def waiting(outbox: Outbox, lane: Lane = Lane.SCORE) -> list[int]:
    rows = outbox.waiting(lane, after=0, limit=100_000)
    assert rows is not None
    return [row.id for row in rows]


def committed(outbox: Outbox, *entries: Entry) -> list[Row]:
    rows = outbox.commit(entries)
    assert rows is not None
    return rows


def round_after(outbox: Outbox, clock: Clock, seconds: float = 1.1) -> None:
    clock.now += seconds
    outbox.tick()


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 65_536) == 65_536:
            pass
