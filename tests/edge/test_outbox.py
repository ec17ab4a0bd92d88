"""The outbox: what is committed is there, whatever happens to the process, the file or the disk."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from asd_edge.config import OutboxTable
from asd_edge.sinks.outbox.database import Database
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Entry, Lane
from tests.edge.outboxes import Clock, alarm, committed, round_after, score, waiting

# --- ids and delivery ---


def test_ids_rise_by_one_and_payloads_carry_them(make_outbox: Any) -> None:
    rows = committed(make_outbox(), score(1), alarm(2), score(3))
    assert [row.id for row in rows] == [1, 2, 3]
    assert [json.loads(row.payload)["id"] for row in rows] == [1, 2, 3]
    assert json.loads(rows[0].payload) == {"id": 1, "machine": "fan", "number": 1}
    assert json.loads(score(1).payload(None))["id"] is None


def test_lanes_wait_apart_and_what_is_settled_or_parked_waits_no_more(make_outbox: Any, clock: Clock) -> None:
    outbox = make_outbox()
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


def test_waiting_reads_on_from_an_id_up_to_another(make_outbox: Any) -> None:
    outbox = make_outbox()
    committed(outbox, *map(score, range(10)))
    assert [row.id for row in outbox.waiting(Lane.SCORE, after=3, limit=4)] == [4, 5, 6, 7]
    assert [row.id for row in outbox.waiting(Lane.SCORE, after=3, limit=4, up_to=5)] == [4, 5]


def test_everything_is_there_after_a_restart_and_ids_go_on(make_outbox: Any) -> None:
    outbox = make_outbox()
    committed(outbox, score(1), alarm(2))
    outbox.settle([1])
    outbox.close()
    again = make_outbox()
    assert [row.id for row in committed(again, score(3))] == [3]
    assert (waiting(again), waiting(again, Lane.ALARM)) == ([3], [2])


# --- the replay window ---


def test_what_the_broker_confirmed_waits_again_after_a_broken_connection_but_not_for_ever(
    make_outbox: Any, clock: Clock
) -> None:
    outbox = make_outbox(replay_s=60)
    committed(outbox, *map(score, range(4)))
    outbox.settle([1, 2])
    round_after(outbox, clock)
    round_after(outbox, clock, 50.0)
    outbox.settle([3])
    round_after(outbox, clock, 50.0)  # the first two are older than the window now: the broker has them on its disk
    outbox.unsettle()
    assert waiting(outbox) == [3, 4]


def test_a_restart_begins_the_window_anew(make_outbox: Any, clock: Clock) -> None:
    outbox = make_outbox(replay_s=60)
    committed(outbox, score(1))
    outbox.settle([1])
    outbox.close()
    clock.now += 10_000.0  # nobody knows how long the device was off
    again = make_outbox(replay_s=60)
    again.unsettle()
    assert waiting(again) == [1]
    again.settle([1])
    round_after(again, clock)
    round_after(again, clock, 61.0)
    again.unsettle()
    assert waiting(again) == []


def test_a_confirmed_alarm_that_is_not_the_latest_comes_again_as_history(make_outbox: Any, clock: Clock) -> None:
    outbox = make_outbox()
    committed(outbox, alarm(1), alarm(2, "pump"), alarm(3), alarm(4))
    outbox.settle([1, 2, 3])
    outbox.unsettle()
    # 4 was never confirmed and is the latest of the fan; on the alarm's own topic 1 and 3 would stand before it
    assert (waiting(outbox), waiting(outbox, Lane.ALARM)) == ([1, 3], [2, 4])


def test_a_parked_alarm_that_is_not_the_latest_any_more_comes_back_as_history(make_outbox: Any, clock: Clock) -> None:
    outbox = make_outbox(replay_s=10)
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


# --- bounds ---


def test_beyond_its_bytes_the_oldest_scores_go_first_and_are_counted_for_good(make_outbox: Any, clock: Clock) -> None:
    outbox = make_outbox(max_mib=8)
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
    again = make_outbox(max_mib=8)
    committed(again)
    again.flush()
    assert again.report.dropped_scores == 20_000 - len(kept)


def test_alarms_are_given_up_when_there_is_nothing_else(make_outbox: Any, clock: Clock) -> None:
    outbox = make_outbox(max_mib=8)
    big = Entry(Lane.ALARM, "fan", "alarm", 1.0, json.dumps({"x": "x" * 2_000}).encode())
    for _ in range(6):
        committed(outbox, *[big] * 1_000)
        round_after(outbox, clock)
    assert outbox.report.dropped_alarms == 6_000 - len(waiting(outbox, Lane.ALARM)) > 0


def test_age_is_counted_in_hours_of_running_which_no_clock_setting_moves(make_outbox: Any, clock: Clock) -> None:
    outbox = make_outbox(max_age_h=2)
    committed(outbox, score(1))  # of 1970: the clock was not set yet
    for hour in range(1, 4):
        round_after(outbox, clock, 3_600.0)
        assert waiting(outbox)[:1] == ([1] if hour < 3 else [2])
        committed(outbox, score(hour))
    outbox.flush()
    assert outbox.report.dropped_scores == 1


def test_lowered_bounds_are_reached_step_by_step(make_outbox: Any, clock: Clock) -> None:
    outbox = make_outbox(max_mib=64)
    for _ in range(20):
        committed(outbox, *(score(number, size=1_000) for number in range(1_000)))
    outbox.close()
    again = make_outbox(max_mib=8)
    sizes = []
    for _ in range(5):
        round_after(again, clock)
        sizes.append(len(waiting(again)))
    assert all(before - after <= 5_000 for before, after in zip([20_000, *sizes], sizes, strict=False))
    assert sizes[-1] < 8_000


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
