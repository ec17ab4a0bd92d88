"""A damaged outbox: what can be read is taken over, whole or not at all, and said."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import OutboxTable
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Lane
from tests.edge.killed_at import killed_at
from tests.edge.outboxes import Clock, alarm, committed, round_after, score, waiting


def damage(path: Path, how: str) -> None:
    if how == "header":
        path.write_bytes(os.urandom(100) + path.read_bytes()[100:])
    elif how == "first page":
        path.write_bytes(b"\0" * 4_096 + path.read_bytes()[4_096:])
    elif how == "no database":
        path.write_bytes(b"this is a text file, and a rather long one\n" * 200)
    elif how == "other version":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
    elif how == "middle":
        place = path.read_bytes().index(b'"number": 2500')
        with path.open("r+b") as file:
            file.seek(place // 4_096 * 4_096)
            file.write(os.urandom(8 * 4_096))


@pytest.mark.parametrize("how", ["header", "first page", "no database", "other version", "middle"])
def test_a_damaged_file_is_set_aside_said_and_what_can_be_read_is_taken_over(
    make_outbox: Any, clock: Clock, tmp_path: Path, how: str
) -> None:
    outbox = make_outbox()
    for start in range(0, 5_000, 100):
        committed(outbox, *(score(number, size=100) for number in range(start, start + 100)))
    outbox.close()
    damage(tmp_path / "mqtt.db", how)
    again = make_outbox()
    for _ in range(30):  # wherever it is found: at the opening, or when the damaged page is read
        after = 0
        while rows := again.waiting(Lane.SCORE, after=after, limit=500):
            after = rows[-1].id
        round_after(again, clock)
    kept = waiting(again)
    new = [row.id for row in committed(again, alarm(1))]
    assert new[0] > 5_000  # an id that was used is not used again
    assert again.report.fault is not None
    assert "damaged" in again.report.fault
    assert (tmp_path / "mqtt.damaged.db").exists()
    assert len(kept) == {"header": 5_000, "first page": 0, "no database": 0, "other version": 5_000}.get(how, len(kept))
    if how == "middle":
        assert 3_000 < len(kept) < 5_000  # both ends up to the damage
    assert again.report.dropped_scores == 5_000 - len(kept) or "how many were lost is not known" in again.report.fault


def test_kill_9_while_a_damaged_file_is_replaced_loses_nothing_that_could_be_read(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.db"

    def damaged() -> None:
        for part in tmp_path.iterdir():
            part.unlink()
        outbox = Outbox(path, OutboxTable())
        committed(outbox, *(score(number) for number in range(60)), alarm(1))
        outbox.close()
        damage(path, "other version")  # all of it can be read

    def replace() -> None:
        Outbox(path, OutboxTable()).flush()

    step, died = 1, True
    while died:
        damaged()
        died = killed_at(step, replace)
        outbox = Outbox(path, OutboxTable())
        outbox.flush()
        assert (len(waiting(outbox)), len(waiting(outbox, Lane.ALARM))) == (60, 1), f"killed at step {step}"
        assert outbox.report.dropped_scores == 0
        outbox.close()
        step += 1
    assert step > 20


def test_what_was_counted_before_the_damage_is_still_counted_after_it(
    make_outbox: Any, clock: Clock, tmp_path: Path
) -> None:
    outbox = make_outbox(max_mib=8)
    for _ in range(12):
        committed(outbox, *(score(number, size=1_000) for number in range(1_000)))
        round_after(outbox, clock)
    dropped = outbox.report.dropped_scores
    assert dropped > 0
    outbox.close()
    damage(tmp_path / "mqtt.db", "other version")
    again = make_outbox(max_mib=8)
    again.flush()
    assert again.report.dropped_scores == dropped
