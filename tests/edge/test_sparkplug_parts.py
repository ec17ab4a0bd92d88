"""The parts of the edge node that need no connection: numbers, primary host, what is replayed, the inbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import OutboxTable
from asd_edge.events import AlarmChange, WindowScore, WindowState
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import entry_of
from asd_edge.sinks.sparkplug.bd_seq import BdSeq
from asd_edge.sinks.sparkplug.inbox import Inbox
from asd_edge.sinks.sparkplug.primary_host import PrimaryHost
from asd_edge.sinks.sparkplug.replay import Replay
from asd_edge.strict import RefusalError

START = 1_767_225_600.0
SCORED = WindowScore("fan", 0, 1, START, WindowState.SCORED, -30.0, 0.1, 0.2, "rpm1200")
ALARM = AlarmChange("fan", START, True, START - 12.0, 0.3, 0.2, "rpm1200", 640)


# --- the number of a connection ---


def test_the_number_counts_through_restarts_and_round(tmp_path: Path) -> None:
    path = tmp_path / "made" / "sparkplug.json"
    assert [BdSeq(path).next() for _ in range(3)] == [0, 1, 2]
    path.write_text(path.read_text().replace("2}", "254}"))
    numbers = BdSeq(path)
    assert [numbers.next() for _ in range(3)] == [255, 0, 1]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format":"asd-edge-sparkplug","version":1,"bd_seq":256}'])
def test_a_damaged_number_begins_anew(content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "sparkplug.json"
    path.write_bytes(content)
    assert BdSeq(path).next() == 0
    assert "starts again at 0" in caplog.text
    assert BdSeq(path).next() == 1


def test_a_number_that_cannot_be_kept_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    numbers = BdSeq(tmp_path / "file" / "sparkplug.json")
    assert [numbers.next() for _ in range(3)] == [0, 1, 2]
    assert "cannot be kept" in caplog.text


# --- the primary host ---


def told(*states: tuple[bool, int]) -> bool | None:
    host = PrimaryHost("scada")
    for online, timestamp in states:
        host.told(b'{"online": %s, "timestamp": %d}' % (b"true" if online else b"false", timestamp))
    return host.online


@pytest.mark.parametrize(
    ("states", "online"),
    [
        ([(True, 5)], True),
        ([(False, 5)], False),
        ([(True, 5), (False, 5)], False),  # the Will of this very session of the host
        ([(True, 5), (False, 4)], True),  # of an older one
        ([(False, 5), (True, 4)], False),
        ([(True, 5), (False, 6), (True, 5)], False),
        ([(False, 9), (False, 5), (True, 8)], False),  # the latest counts, not the last
        ([(True, 5), (False, 6), (True, 6)], True),
    ],
)
def test_the_latest_state_of_a_host_counts(states: list[tuple[bool, int]], online: bool) -> None:
    assert told(*states) is online


@pytest.mark.parametrize(
    "payload", [b"ONLINE", b"{}", b'{"online": 1, "timestamp": 5}', b'{"online": true, "timestamp": -1}', b"\xff"]
)
def test_what_is_no_state_is_refused(payload: bytes) -> None:
    host = PrimaryHost("scada")
    with pytest.raises(RefusalError):
        host.told(payload)
    assert host.online is None


# --- replay ---


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "sparkplug.db", OutboxTable(replay_s=0))


def commit(outbox: Outbox, numbers: range, machine: str = "fan") -> list[int]:
    windows = [replace(SCORED, machine=machine, start=n, stop=n + 1, time=START + n) for n in numbers]
    rows = outbox.commit([entry_of(window) for window in windows])
    assert rows is not None
    return [row.id for row in rows]


def ids(batch: dict[str, Any]) -> dict[str, list[int]]:
    return {machine: [row.id for row in rows] for machine, rows in batch.items()}


def live_through(replay: Replay, begin: float, seconds: float) -> None:
    """Let as much time pass, in rounds as those of the node's thread."""
    for step in range(int(4 * seconds) + 1):
        replay.tick(begin + step / 4)


def test_what_was_sent_is_settled_after_twice_the_keep_alive_and_not_before(outbox: Outbox) -> None:
    replay = Replay(outbox, 2_048, keepalive_s=30.0)
    replay.tick(100.0)
    first = commit(outbox, range(3))
    replay.sent(first, live=True)
    live_through(replay, 100.0, 30.0)
    second = commit(outbox, range(3, 5))
    replay.sent(second, live=True)
    live_through(replay, 130.0, 30.0)
    replay.lost()  # just before a keep-alive would have noticed
    assert ids(replay.batch()) == {"fan": first + second}
    replay.lost()
    replay.sent(first + second, live=False)
    live_through(replay, 160.0, 66.0)
    outbox.commit(())
    replay.lost()
    assert replay.batch() == {}


def test_nothing_is_settled_while_the_process_is_stopped(outbox: Outbox) -> None:
    replay = Replay(outbox, 2_048, keepalive_s=30.0)
    replay.tick(100.0)
    sent = commit(outbox, range(3))
    replay.sent(sent, live=True)
    replay.tick(100.5)
    replay.tick(1_000.0)  # the link broke in the meantime, and paho has not had its turn
    outbox.commit(())
    replay.lost()
    assert ids(replay.batch()) == {"fan": sent}


def test_history_is_what_was_not_sent_live_alarms_first_and_each_but_once(outbox: Outbox) -> None:
    replay = Replay(outbox, 2_048, keepalive_s=30.0)
    away = commit(outbox, range(700)) + commit(outbox, range(700, 720), "pump")
    outbox.commit([entry_of(ALARM)])
    live = commit(outbox, range(720, 725))
    replay.sent(live, live=True)
    batches = list(iter(lambda: ids(replay.batch()), {}))
    assert batches[0] == {"fan": [721]}
    assert [number for batch in batches for number in batch.get("fan", [])] == [721, *away[:700]]
    assert [number for batch in batches for number in batch.get("pump", [])] == away[700:]
    missed = commit(outbox, range(800, 802))  # its device was not born just then
    assert ids(replay.batch()) == {"fan": missed}
    assert replay.batch() == {}


def test_a_farewell_that_has_arrived_settles_everything(outbox: Outbox) -> None:
    replay = Replay(outbox, 2_048, keepalive_s=30.0)
    replay.sent(commit(outbox, range(10)), live=True)
    assert replay.unsent == 0
    replay.arrived(time.monotonic() + 10.0)
    outbox.commit(())
    replay.lost()
    assert replay.batch() == {}


def test_history_keeps_its_rate(outbox: Outbox) -> None:
    replay = Replay(outbox, 16, keepalive_s=30.0)
    sent = 0
    for step in range(1, 401):  # 100 s, four times a second
        replay.tick(step / 4)
        while replay.allowed:
            replay.spent(10_000)
            sent += 10_000
    assert 1_600_000 < sent < 1_680_000  # 16 KiB/s


# --- the inbox ---


def test_the_inbox_keeps_few_and_short_messages() -> None:
    inbox = Inbox(["NCMD", "STATE"])
    arrived: dict[str, Callable[[bytes, bool], None]] = {s.topic: s.arrived for s in inbox.subscriptions}
    arrived["STATE"](b"online", True)
    for number in range(100_000):
        arrived["NCMD"](b"%d" % number, False)
    arrived["NCMD"](bytes(1 << 20), False)
    found = list(inbox.read())
    assert [what for what in found if what[0] == "STATE"] == [("STATE", b"online", True)]
    assert [int(payload) for topic, payload, _ in found if topic == "NCMD"] == list(range(99_936, 100_000))
    assert list(inbox.read()) == []
