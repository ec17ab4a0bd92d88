"""The outbox: what is committed is there, whatever happens to the process, the file or the disk."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import OutboxTable
from asd_edge.sinks.courier import Courier
from asd_edge.sinks.outbox.database import Database
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Entry, Lane, Row
from tests.edge.killed_at import killed_at


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Outbox]]:
    made: list[Outbox] = []

    def outbox(**limits: Any) -> Outbox:
        made.append(Outbox(tmp_path / "mqtt.db", OutboxTable(**limits), clock))
        return made[-1]

    yield outbox
    for one in made:
        one.close()


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


# --- ids and delivery ---


def test_ids_rise_by_one_and_payloads_carry_them(make: Any) -> None:
    rows = committed(make(), score(1), alarm(2), score(3))
    assert [row.id for row in rows] == [1, 2, 3]
    assert [json.loads(row.payload)["id"] for row in rows] == [1, 2, 3]
    assert json.loads(rows[0].payload) == {"id": 1, "machine": "fan", "number": 1}
    assert json.loads(score(1).payload(None))["id"] is None


def test_lanes_wait_apart_and_what_is_settled_or_parked_waits_no_more(make: Any, clock: Clock) -> None:
    outbox = make()
    committed(outbox, score(1), alarm(2), score(3), score(4), alarm(5))
    outbox.settle([1])
    outbox.park([3])
    assert outbox.unconfirmed == 3
    round_after(outbox, clock)
    assert (waiting(outbox), waiting(outbox, Lane.ALARM)) == ([4], [2, 5])
    assert (outbox.report.waiting, outbox.report.parked) == (3, 1)
    outbox.unpark()
    round_after(outbox, clock)
    assert waiting(outbox) == [3, 4]


def test_waiting_reads_on_from_an_id_up_to_another(make: Any) -> None:
    outbox = make()
    committed(outbox, *map(score, range(10)))
    assert [row.id for row in outbox.waiting(Lane.SCORE, after=3, limit=4)] == [4, 5, 6, 7]
    assert [row.id for row in outbox.waiting(Lane.SCORE, after=3, limit=4, up_to=5)] == [4, 5]


def test_everything_is_there_after_a_restart_and_ids_go_on(make: Any) -> None:
    outbox = make()
    committed(outbox, score(1), alarm(2))
    outbox.settle([1])
    outbox.close()
    again = make()
    assert [row.id for row in committed(again, score(3))] == [3]
    assert (waiting(again), waiting(again, Lane.ALARM)) == ([3], [2])


# --- the replay window ---


def test_what_the_broker_confirmed_waits_again_after_a_broken_connection_but_not_for_ever(
    make: Any, clock: Clock
) -> None:
    outbox = make(replay_s=60)
    committed(outbox, *map(score, range(4)))
    outbox.settle([1, 2])
    round_after(outbox, clock)
    round_after(outbox, clock, 50.0)
    outbox.settle([3])
    round_after(outbox, clock, 50.0)  # the first two are older than the window now: the broker has them on its disk
    outbox.unsettle()
    assert waiting(outbox) == [3, 4]


def test_a_restart_begins_the_window_anew(make: Any, clock: Clock) -> None:
    outbox = make(replay_s=60)
    committed(outbox, score(1))
    outbox.settle([1])
    outbox.close()
    clock.now += 10_000.0  # nobody knows how long the device was off
    again = make(replay_s=60)
    again.unsettle()
    assert waiting(again) == [1]
    again.settle([1])
    round_after(again, clock)
    round_after(again, clock, 61.0)
    again.unsettle()
    assert waiting(again) == []


def test_a_confirmed_alarm_that_is_not_the_latest_comes_again_as_history(make: Any, clock: Clock) -> None:
    outbox = make()
    committed(outbox, alarm(1), alarm(2, "pump"), alarm(3), alarm(4))
    outbox.settle([1, 2, 3])
    outbox.unsettle()
    # 4 was never confirmed and is the latest of the fan; on the alarm's own topic 1 and 3 would stand before it
    assert (waiting(outbox), waiting(outbox, Lane.ALARM)) == ([1, 3], [2, 4])


# --- bounds ---


def test_beyond_its_bytes_the_oldest_scores_go_first_and_are_counted_for_good(make: Any, clock: Clock) -> None:
    outbox = make(max_mib=8)
    committed(outbox, *(alarm(number) for number in range(100)))
    for _ in range(20):
        committed(outbox, *(score(number, size=1_000) for number in range(1_000)))
        round_after(outbox, clock)
    kept = waiting(outbox)
    assert len(waiting(outbox, Lane.ALARM)) == 100
    assert kept == list(range(kept[0], 20_101))
    assert outbox.report.dropped_scores == 20_000 - len(kept)
    assert outbox.report.dropped_alarms == 0
    outbox.close()
    again = make(max_mib=8)
    committed(again)
    again.flush()
    assert again.report.dropped_scores == 20_000 - len(kept)


def test_alarms_are_given_up_when_there_is_nothing_else(make: Any, clock: Clock) -> None:
    outbox = make(max_mib=8)
    big = Entry(Lane.ALARM, "fan", "alarm", 1.0, json.dumps({"x": "x" * 2_000}).encode())
    for _ in range(6):
        committed(outbox, *[big] * 1_000)
        round_after(outbox, clock)
    assert outbox.report.dropped_alarms == 6_000 - len(waiting(outbox, Lane.ALARM)) > 0


def test_age_is_counted_in_hours_of_running_which_no_clock_setting_moves(make: Any, clock: Clock) -> None:
    outbox = make(max_age_h=2)
    committed(outbox, score(1))  # of 1970: the clock was not set yet
    for hour in range(1, 4):
        round_after(outbox, clock, 3_600.0)
        assert waiting(outbox)[:1] == ([1] if hour < 3 else [2])
        committed(outbox, score(hour))
    outbox.flush()
    assert outbox.report.dropped_scores == 1


# --- kill -9 ---

WRITER = """
import sys
from pathlib import Path
from asd_edge.config import OutboxTable
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Entry, Lane
outbox = Outbox(Path(sys.argv[1]), OutboxTable())
n = 0
while True:
    rows = outbox.commit([Entry(Lane.SCORE, "fan", "score", 1.0, b'{"n":1}') for _ in range(n % 7)])
    if rows:
        sys.stdout.write(f"{rows[-1].id}\\n")
        sys.stdout.flush()
        outbox.settle([row.id for row in rows if row.id % 3 == 0])
    n += 1
"""


def test_kill_9_at_any_moment_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    path, seed = tmp_path / "mqtt.db", random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    told = 0
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            told = int(writer.stdout.readline())
            time.sleep(chance.uniform(0.0, 0.1))
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout.read().decode().splitlines(keepends=True):
                told = int(line) if line.endswith("\n") else told
        outbox = Outbox(path, OutboxTable())
        outbox.unsettle()
        kept = waiting(outbox)
        assert kept == list(range(1, len(kept) + 1))  # without a hole, and whole transactions
        assert len(kept) >= told
        assert outbox.report.fault is None
        outbox.close()


# --- damage ---


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
    make: Any, clock: Clock, tmp_path: Path, how: str
) -> None:
    outbox = make()
    for start in range(0, 5_000, 100):
        committed(outbox, *(score(number, size=100) for number in range(start, start + 100)))
    outbox.close()
    damage(tmp_path / "mqtt.db", how)
    again = make()
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


# --- the disk ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", folder], capture_output=True).returncode:
        pytest.skip("only root can have a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 65_536) == 65_536:
            pass


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


def test_deleting_and_finding_use_the_indices(tmp_path: Path) -> None:
    """A million rows must not be walked through to find the few that wait."""
    database = Database(tmp_path / "x.db", first_id=1)
    plans = []
    trace = database._connection.set_trace_callback
    statements: list[str] = []
    trace(statements.append)
    with database.transaction():
        database.settle([1], 1)
        database.park([2])
        database.unsettle(10)
        database.unpark(Lane.SCORE, after=0, up_to=9, most=10)
        database.forget_settled(3)
        database.drop_oldest(10)
        database.drop_until(9, 10)
    database.waiting(Lane.ALARM, after=0, limit=3, up_to=None)
    database.count(0, Lane.SCORE)
    database.last_settlement()
    database.oldest_time()
    trace(None)
    for statement in statements:
        if statement.startswith(("SELECT", "UPDATE event", "DELETE")):
            plans += [row[3] for row in database._connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    database.close()
    assert plans
    walks = [plan for plan in plans if re.fullmatch(r"SCAN( TABLE)? event", plan)]
    assert walks == []


# --- what a review found ---


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


def test_what_was_counted_before_the_damage_is_still_counted_after_it(make: Any, clock: Clock, tmp_path: Path) -> None:
    outbox = make(max_mib=8)
    for _ in range(12):
        committed(outbox, *(score(number, size=1_000) for number in range(1_000)))
        round_after(outbox, clock)
    dropped = outbox.report.dropped_scores
    assert dropped > 0
    outbox.close()
    damage(tmp_path / "mqtt.db", "other version")
    again = make(max_mib=8)
    again.flush()
    assert again.report.dropped_scores == dropped


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


def test_a_fault_of_writing_stays_said_while_reading_works(
    make: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make()
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


def test_a_parked_alarm_that_is_not_the_latest_any_more_comes_back_as_history(make: Any, clock: Clock) -> None:
    outbox = make(replay_s=10)
    committed(outbox, alarm(1))
    outbox.park([1])
    round_after(outbox, clock)
    committed(outbox, alarm(2), alarm(3, "pump"))
    outbox.settle([2, 3])
    round_after(outbox, clock)
    round_after(outbox, clock, 11.0)  # forgotten: 2 and 3 were delivered
    outbox.unpark()
    round_after(outbox, clock)
    assert (waiting(outbox), waiting(outbox, Lane.ALARM)) == ([1], [])
    assert [(row.id, row.entry.machine) for row in outbox.forgotten_alarms()] == [(2, "fan"), (3, "pump")]


def test_an_event_that_cannot_be_written_keeps_no_other_waiting(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "mqtt.db", OutboxTable())
    taken: list[Row] = []

    class Taker:
        def committed(self, rows: list[Row]) -> None:
            taken.extend(rows)

        def send_uncommitted(self, entry: Entry) -> bool:
            return False

        def turn(self) -> None:
            pass

    courier = Courier("test", outbox, Taker())
    wrong = Entry(Lane.SCORE, ["no", "name"], "score", 1.0, b"{}")  # type: ignore[arg-type]
    courier.start()
    for entry in (score(1), wrong, score(2)):
        courier.take(entry)
    courier.stop(5.0)
    assert [row.entry.time for row in taken] == [1.0, 2.0]
    assert outbox.report.dropped_scores == 1


def test_what_is_in_memory_when_the_disk_fails_to_the_end_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "not a folder"
    folder.write_text("")
    outbox = Outbox(folder / "mqtt.db", OutboxTable())

    class Away:
        def committed(self, rows: list[Row]) -> None:
            raise AssertionError("the disk takes nothing")

        def send_uncommitted(self, entry: Entry) -> bool:
            return False

        def turn(self) -> None:
            pass

    courier = Courier("test", outbox, Away())
    courier.start()
    for number in range(5):
        courier.take(score(number))
    courier.stop(5.0)
    assert courier.left == 5


def test_lowered_bounds_are_reached_step_by_step(make: Any, clock: Clock) -> None:
    outbox = make(max_mib=64)
    for _ in range(20):
        committed(outbox, *(score(number, size=1_000) for number in range(1_000)))
    outbox.close()
    again = make(max_mib=8)
    sizes = []
    for _ in range(5):
        round_after(again, clock)
        sizes.append(len(waiting(again)))
    assert all(before - after <= 5_000 for before, after in zip([20_000, *sizes], sizes, strict=False))
    assert sizes[-1] < 8_000
