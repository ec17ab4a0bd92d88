"""The parts of the edge node that need no connection: values, numbers, primary host, what is replayed, the inbox."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_edge.config import OutboxTable
from asd_edge.events import AlarmChange, ConditionsChanged, DriftSuspected, WindowScore, WindowState
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import OutboxReport
from asd_edge.sinks.payloads import DeviceReport, EngineReport, MachineReport, entry_of
from asd_edge.sinks.sparkplug.bd_seq import BdSeq
from asd_edge.sinks.sparkplug.codec import DataType
from asd_edge.sinks.sparkplug.inbox import Inbox
from asd_edge.sinks.sparkplug.metrics import MACHINE, NODE, Quality
from asd_edge.sinks.sparkplug.primary_host import PrimaryHost
from asd_edge.sinks.sparkplug.readings import (
    entry_readings,
    event_readings,
    health_readings,
    milliseconds,
    node_readings,
)
from asd_edge.sinks.sparkplug.replay import Replay
from asd_edge.sinks.sparkplug.values import Reading, Values
from asd_edge.sources.health import MicrophoneReport
from asd_edge.strict import RefusalError

START = 1_767_225_600.0
SCORED = WindowScore("fan", 0, 1, START, WindowState.SCORED, -30.0, 0.1, 0.2, "rpm1200")
ALARM = AlarmChange("fan", START, True, START - 12.0, 0.3, 0.2, "rpm1200", 640)


def by_name(readings: list[Reading]) -> dict[str, Reading]:
    return {reading.name: reading for reading in readings}


# --- what events say ---


def test_every_metric_of_a_machine_and_of_the_node_is_read_from_something() -> None:
    conditions = ConditionsChanged("fan", START, 3, "enroll", "rpm1500", "alice", ("rpm1200", "rpm1500"))
    drift = DriftSuspected("fan", START, "rpm1200", 0.02, 0.01, 0.2)
    events = [event_readings(event.to_json()) for event in (SCORED, ALARM, conditions, drift)]
    report = MachineReport("fan", "running", microphone=MicrophoneReport())
    found = {reading.name for readings in [*events, health_readings(report, 0)] for reading in readings}
    assert found == {definition.name for definition in MACHINE}
    device = DeviceReport("0.1.0", "0" * 64, EngineReport("onnxruntime", "fp32"), (report,))
    of_the_session = {"bdSeq", "Node Control/Rebirth"}
    assert {r.name for r in node_readings(device, OutboxReport(), 0, 0)} == {d.name for d in NODE} - of_the_session


@pytest.mark.parametrize(
    ("state", "score", "sound"),
    [
        (WindowState.SCORED, Quality.GOOD, Quality.GOOD),
        (WindowState.IDLE, Quality.GOOD, Quality.GOOD),
        (WindowState.NOT_ENROLLED, Quality.BAD, Quality.GOOD),
        (WindowState.BAD_QUALITY, Quality.BAD, Quality.BAD),
    ],
)
def test_a_score_that_is_none_is_null(state: WindowState, score: Quality, sound: Quality) -> None:
    # Whatever else the window holds: in no other state is there a value that could look like an anomaly.
    found = by_name(event_readings(replace(SCORED, state=state, score=9.9).to_json()))
    for name in ("Score", "Threshold", "Condition"):
        assert (found[name].value is None) == (state is not WindowState.SCORED)
        assert found[name].quality is score
    assert (found["State"].value, found["State"].quality) == (state.value, sound)
    assert (found["Level"].value, found["Level"].quality) == (-30.0, sound)
    assert {reading.time for reading in found.values()} == {1_767_225_600_000}


def test_an_alarm_that_a_bad_microphone_suppresses_stands_with_bad_quality() -> None:
    clear = by_name(event_readings(ALARM.to_json()))
    assert (clear["Alarm/Active"].value, clear["Alarm/Active"].quality) == (True, Quality.GOOD)
    assert (clear["Alarm/Severity"].value, clear["Alarm/Since"].value) == (640, 1_767_225_588_000)
    for suppressed, quality in (("microphone", Quality.BAD), ("stopped", Quality.GOOD)):
        found = by_name(event_readings({**ALARM.to_json(), "suppressed": suppressed}))
        assert (found["Alarm/Active"].value, found["Alarm/Active"].quality) == (True, quality)
        assert found["Alarm/Suppressed"].value == suppressed


def test_an_alarm_that_never_was_has_null_values() -> None:
    found = by_name(event_readings(AlarmChange("fan", START, False, cause="start").to_json()))
    assert {r.value for name, r in found.items() if name != "Alarm/Active"} == {None}
    assert found["Alarm/Active"].value is False


def test_new_conditions_end_a_drift() -> None:
    values = Values(MACHINE, 0)
    values.put(event_readings(DriftSuspected("fan", START, "rpm1200", 0.02, 0.01, 0.2).to_json()))
    news = values.put(event_readings(ConditionsChanged("fan", START, 3, "enroll", "a", "b", ("a",)).to_json()))
    assert {metric.name: metric.value for metric in news if metric.name.startswith("Drift")} == {  # type: ignore[union-attr]
        "Drift/Condition": None,
        "Drift/Mean": None,
        "Drift/Expected": None,
    }


def test_an_event_of_a_later_version_says_nothing() -> None:
    assert event_readings({"machine": "fan", "time": "2026-01-01T00:00:00.000Z", "kind": "fell_off"}) == []


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"time": 5}', b'{"active": true, "time": "2026-01-01T00:00:00.000Z"}'])
def test_a_damaged_row_says_nothing(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert entry_readings(replace(entry_of(SCORED), body=body)) == []
    assert "An event of fan" in caplog.text


@given(st.integers(0, 4_000_000_000_000))
def test_times_are_exact_to_the_millisecond(time: int) -> None:
    from asd_edge.events import utc

    assert milliseconds(utc(time / 1000.0)) in (time, time - 1)  # isoformat cuts off what binary fractions leave over


def test_a_value_is_news_once() -> None:
    values = Values(MACHINE, 0)
    assert len(values.put(event_readings(SCORED.to_json()))) == 5
    assert values.put(event_readings(replace(SCORED, time=START + 1).to_json())) == ()
    (news,) = values.put(event_readings(replace(SCORED, time=START + 2, score=0.11).to_json()))
    assert (news.name, news.value, news.timestamp, news.historical) == ("Score", 0.11, 1_767_225_602_000, False)


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


def test_what_was_sent_is_settled_after_twice_the_keep_alive_and_not_before(outbox: Outbox) -> None:
    replay = Replay(outbox, 2_048, keepalive_s=30.0)
    first = commit(outbox, range(3))
    replay.sent(first, 100.0, live=True)
    second = commit(outbox, range(3, 5))
    replay.sent(second, 130.0, live=True)
    replay.tick(100.0 + 60.0)
    replay.lost()  # just before a keep-alive would have noticed
    assert ids(replay.batch()) == {"fan": first + second}
    replay.lost()
    replay.sent(first + second, 300.0, live=False)
    replay.tick(300.0 + 66.0)
    outbox.commit(())
    replay.lost()
    assert replay.batch() == {}


def test_history_is_what_was_not_sent_live_alarms_first_and_each_but_once(outbox: Outbox) -> None:
    replay = Replay(outbox, 2_048, keepalive_s=30.0)
    away = commit(outbox, range(700)) + commit(outbox, range(700, 720), "pump")
    outbox.commit([entry_of(ALARM)])
    live = commit(outbox, range(720, 725))
    replay.sent(live, 0.0, live=True)
    batches = list(iter(lambda: ids(replay.batch()), {}))
    assert batches[0] == {"fan": [721]}
    assert [number for batch in batches for number in batch.get("fan", [])] == [721, *away[:700]]
    assert [number for batch in batches for number in batch.get("pump", [])] == away[700:]
    missed = commit(outbox, range(800, 802))  # its device was not born just then
    assert ids(replay.batch()) == {"fan": missed}
    assert replay.batch() == {}


def test_a_farewell_that_has_arrived_settles_everything(outbox: Outbox) -> None:
    replay = Replay(outbox, 2_048, keepalive_s=30.0)
    replay.sent(commit(outbox, range(10)), 0.0, live=True)
    assert replay.unsent == 0
    replay.arrived()
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


# --- documentation ---


def test_the_documented_metrics_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sparkplug.md").read_text("utf-8")
    rows = re.findall(r"^\| `(.+?)` \| (\w+) \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(d.name, written(d.datatype), limits(d), d.meaning) for d in (*MACHINE, *NODE)]


def written(datatype: DataType) -> str:
    """As the specification writes it."""
    return datatype.name.title().replace("time", "Time")


def limits(definition: Any) -> str:
    span = "" if definition.low is None else f"{definition.low:g} … {definition.high:g}"
    return " ".join(part for part in (span, definition.unit) if part) or "–"
