"""An outbox on a disk that is full, fails, or turns read-only."""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import OutboxTable
from asd_edge.sinks.courier import Courier
from asd_edge.sinks.outbox.database import Database
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Entry, Lane, Row
from tests.edge.outboxes import Clock, alarm, committed, fill, round_after, score, waiting


def test_on_a_full_disk_alarms_still_find_room(small_disk: Path, clock: Clock) -> None:
    outbox = Outbox(small_disk / "mqtt.db", OutboxTable(), clock)
    for _ in range(90):  # the log stays small
        committed(outbox, *(score(number, size=1_000) for number in range(100)))
    round_after(outbox, clock)  # takes the reserve
    assert (small_disk / "mqtt.reserve").stat().st_size == 4 << 20
    fill(small_disk)
    large = Entry(Lane.ALARM, "fan", "alarm", 1.0, json.dumps({"x": "x" * 1_000}).encode())
    for _ in range(800):
        committed(outbox, *[large] * 10)
    outbox.flush()
    assert len(waiting(outbox, Lane.ALARM)) == 8_000
    assert outbox.report.fault is not None
    assert "disk is full" in outbox.report.fault
    assert 0 < outbox.report.dropped_scores == 9_000 - len(waiting(outbox))
    (small_disk / "filler").unlink()
    round_after(outbox, clock)
    assert outbox.report.fault is None
    assert (small_disk / "mqtt.reserve").exists()
    outbox.close()


def test_on_a_full_disk_no_alarm_makes_room_for_a_score(
    small_disk: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(small_disk / "mqtt.db", OutboxTable(), clock)
    large = Entry(Lane.ALARM, "fan", "alarm", 1.0, json.dumps({"x": "x" * 1_000}).encode())
    committed(outbox, *[large] * 1_000)
    round_after(outbox, clock)
    fill(small_disk)
    with caplog.at_level(logging.INFO):
        while outbox.report.dropped_alarms == 0:  # alarms make room for alarms
            committed(outbox, *[large] * 10)
            outbox.flush()
        alarms, dropped = len(waiting(outbox, Lane.ALARM)), outbox.report.dropped_alarms
        for number in range(300):  # there is room for some; what is confirmed cannot be given up for the others
            outbox.settle([row.id for row in outbox.commit([score(number, size=1_000)]) or ()])
            outbox.flush()
    assert (len(waiting(outbox, Lane.ALARM)), outbox.report.dropped_alarms) == (alarms, dropped)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]  # said once, not with every event
    outbox.close()


def test_a_disk_without_a_byte_keeps_thousands_of_events_all_the_same(small_disk: Path, clock: Clock) -> None:
    outbox = Outbox(small_disk / "mqtt.db", OutboxTable(), clock)
    outbox.flush()
    fill(small_disk)
    for number in range(500):  # delivered as they come
        committed(outbox, score(number, size=150))
        outbox.settle([number + 1])
        round_after(outbox, clock, 0.25)
    for number in range(4_000):  # and kept, when there is no broker
        committed(outbox, score(number, size=150))
    outbox.flush()
    assert (outbox.report.dropped_scores, outbox.report.fault) == (0, None)
    outbox.close()


def test_on_a_full_disk_the_ids_do_not_run_out(small_disk: Path, clock: Clock) -> None:
    outbox = Outbox(small_disk / "mqtt.db", OutboxTable(), clock)
    committed(outbox, *(score(number, size=1_000) for number in range(500)))
    round_after(outbox, clock)
    outbox._disk.promise.below = 600  # nearly used up: the promise must be written anew
    fill(small_disk)
    for number in range(200):
        committed(outbox, alarm(number))
        round_after(outbox, clock, 0.1)
    outbox.flush()
    assert "disk is full" in str(outbox.report.fault)
    assert outbox._disk.promise.below > 700
    outbox.close()


def test_a_disk_without_any_room_is_said_and_tried_again(small_disk: Path, clock: Clock) -> None:
    fill(small_disk)
    outbox = Outbox(small_disk / "mqtt.db", OutboxTable(), clock)
    assert outbox.commit([alarm(1)]) is None
    outbox.flush()
    assert outbox.report.fault is not None
    outbox.dropped(Lane.SCORE)
    (small_disk / "filler").unlink()
    clock.now += 6.0
    assert [row.entry.kind for row in committed(outbox, alarm(1))] == ["alarm"]
    outbox.flush()
    assert (outbox.report.fault, outbox.report.dropped_scores) == (None, 1)
    outbox.close()


def test_a_disk_that_becomes_read_only_is_said_and_used_again_afterwards(small_disk: Path, clock: Clock) -> None:
    outbox = Outbox(small_disk / "mqtt.db", OutboxTable(), clock)
    committed(outbox, score(1))
    outbox.close()
    outbox = Outbox(small_disk / "mqtt.db", OutboxTable(), clock)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert outbox.commit([score(2)]) is None
    outbox.flush()
    assert outbox.report.fault is not None
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    clock.now += 6.0
    assert [row.id for row in committed(outbox, score(2))] == [2]
    assert waiting(outbox) == [1, 2]
    outbox.close()


def test_a_fault_of_writing_stays_said_while_reading_works(
    make_outbox: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make_outbox()
    committed(outbox, score(1))

    def insert(*_: Any) -> int:  # a file that is open cannot be made read-only under us
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Database, "insert", insert)
    for _ in range(8):
        assert outbox.commit([score(2)]) is None
        outbox.waiting(Lane.SCORE, after=0, limit=10)
        round_after(outbox, clock)
        assert "disk I/O error" in str(outbox.report.fault)
    monkeypatch.undo()
    clock.now += 6.0
    committed(outbox, score(2))
    outbox.flush()
    assert outbox.report.fault is None


class Nobody:
    """A destination that takes nothing, and notes what has come onto the disk."""

    def __init__(self) -> None:
        self.heard: list[Row] = []

    def committed(self, rows: list[Row]) -> None:
        self.heard += rows

    def send_uncommitted(self, entry: Entry) -> bool:
        return False

    def turn(self) -> None:
        pass


WRONG = Entry(Lane.SCORE, ["no", "name"], "score", 1.0, b"{}")  # type: ignore[arg-type]


def carry(outbox: Outbox, *entries: Entry) -> tuple[Courier, Nobody]:
    """Let a courier take events, and stop it."""
    nobody = Nobody()
    courier = Courier("test", outbox, nobody)
    courier.start()
    for entry in entries:
        courier.take(entry)
    courier.stop(5.0)
    return courier, nobody


def test_an_event_that_cannot_be_written_keeps_no_other_waiting(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "mqtt.db", OutboxTable())
    courier, nobody = carry(outbox, score(1), WRONG, score(2))
    kept = Outbox(tmp_path / "mqtt.db", OutboxTable())
    assert [row.entry.time for row in kept.waiting(Lane.SCORE, after=0, limit=9) or ()] == [1.0, 2.0]
    assert outbox.report.dropped_scores == 1
    assert courier.left == 0
    assert [row.entry.time for row in nobody.heard] in ([1.0, 2.0], [])  # [] where the stop came first
    kept.close()


def test_a_disk_that_fails_beside_an_event_that_is_wrong_loses_neither_of_the_others_uncounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path / "mqtt.db", OutboxTable())
    outbox.flush()
    insert = Database.insert

    def failing(database: Database, entry: Entry, **number: Any) -> int:
        if entry.time == 2.0:  # in the middle of the events one by one
            raise sqlite3.OperationalError("disk I/O error")
        return insert(database, entry, **number)

    monkeypatch.setattr(Database, "insert", failing)
    courier, _ = carry(outbox, WRONG, score(1), score(2))
    assert courier.left == 1
    kept = Outbox(tmp_path / "mqtt.db", OutboxTable())
    assert [row.entry.time for row in kept.waiting(Lane.SCORE, after=0, limit=9) or ()] == [1.0]
    kept.close()


def test_what_comes_after_the_order_to_stop_is_on_the_disk_too(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "mqtt.db", OutboxTable())
    courier = Courier("test", outbox, Nobody())
    courier._inbox.put(None)
    courier.take(score(1))  # before the thread has come to its end
    courier.start()
    courier.stop(5.0)
    kept = Outbox(tmp_path / "mqtt.db", OutboxTable())
    assert [row.id for row in kept.waiting(Lane.SCORE, after=0, limit=9) or ()] == [1]
    kept.close()


def test_what_is_in_memory_when_the_disk_fails_to_the_end_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "not a folder"
    folder.write_text("")
    courier, nobody = carry(Outbox(folder / "mqtt.db", OutboxTable()), *map(score, range(5)))
    assert courier.left == 5
    assert nobody.heard == []
