"""What events and reports say about metrics, what is news, and what the document says of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_edge.events import AlarmChange, ConditionsChanged, DriftSuspected, WindowScore, WindowState
from asd_edge.sinks.outbox.rows import OutboxReport
from asd_edge.sinks.payloads import DeviceReport, EngineReport, MachineReport, entry_of
from asd_edge.sinks.sparkplug.codec import DataType
from asd_edge.sinks.sparkplug.metrics import MACHINE, NODE, Quality
from asd_edge.sinks.sparkplug.readings import (
    entry_readings,
    event_readings,
    health_readings,
    milliseconds,
    node_readings,
)
from asd_edge.sinks.sparkplug.values import Reading, Values
from asd_edge.sources.health import MicrophoneReport

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
