from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from asd_edge.events import AlarmChange, Event, WindowScore, WindowState
from asd_edge.sinks.outbox.rows import OutboxReport, Row
from asd_edge.sinks.payloads import (
    Counts,
    DeviceReport,
    EngineReport,
    LinkReport,
    MachineReport,
    Message,
    entry_message,
    entry_of,
    history_message,
    schema,
    status_message,
    will_message,
)
from asd_edge.sinks.topics import Topics

TOPICS = Topics("plant/hall-3", "box-1")
SCORED = WindowScore("fan-7", 0, 160_000, 1.5e9, WindowState.SCORED, -31.234, 0.3, 0.25, "factory")
IDLE = WindowScore("fan-7", 0, 160_000, 1.5e9, WindowState.IDLE, -81.0)
UNKNOWN = WindowScore("fan-7", 0, 160_000, 1.5e9, WindowState.NOT_ENROLLED, -31.0)
BAD = WindowScore("fan-7", 0, 160_000, 1.5e9, WindowState.BAD_QUALITY, -120.0)
ALARM = AlarmChange("fan-7", 1.5e9, True, 1.5e9 - 4.0, 0.3, 0.25, "factory", 600)
WORSE = replace(ALARM, score=0.4, severity=800, cause="severity")
SUPPRESSED = replace(ALARM, suppressed="microphone", cause="suppression")
STANDS = replace(ALARM, suppressed="stopped", cause="start")
CLEAR = replace(ALARM, active=False, score=0.1)
ENDED = replace(CLEAR, cause="start")
REMOVED = replace(CLEAR, cause="removed")
NEVER = AlarmChange("fan-7", 1.5e9, active=False, cause="start")


def status() -> Message:
    return status_message(
        TOPICS,
        "online",
        "connected",
        time=1.5e9,
        device=DeviceReport(
            "0.1.0",
            "ab" * 32,
            EngineReport("onnxruntime", "fp32", "no GPU"),
            (MachineReport("fan-7", "failed", "no microphone"),),
        ),
        link=LinkReport("localhost:1883", "3.1.1", fallback=True, connected=True, denials_visible=False),
        counts=Counts(5, 4, 0),
        outbox=OutboxReport(1, 0.25),
    )


def event_message(event: Event, number: int | None = 7) -> Message:
    return entry_message(TOPICS, entry_of(event), number)


def validate(message: Message, name: Any) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(message.payload)
    jsonschema.Draft202012Validator(schema(name)).validate(payload)
    return payload


@pytest.mark.parametrize("name", ["score", "alarm", "event", "history", "status"])
def test_the_schemas_are_schemas(name: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("event", [SCORED, IDLE, UNKNOWN, BAD])
def test_a_score_satisfies_its_schema_and_is_not_retained(event: Event) -> None:
    message = event_message(event)
    assert message.topic == "plant/hall-3/box-1/fan-7/score"
    assert not message.retain
    assert validate(message, "score")["state"] == event.state.value  # type: ignore[union-attr]


@pytest.mark.parametrize("event", [ALARM, WORSE, SUPPRESSED, STANDS, CLEAR, ENDED, REMOVED, NEVER])
def test_an_alarm_satisfies_its_schema_and_is_retained(event: Event) -> None:
    message = event_message(event)
    assert message.topic == "plant/hall-3/box-1/fan-7/alarm"
    assert message.retain
    assert validate(message, "alarm")["active"] == event.active  # type: ignore[union-attr]


@pytest.mark.parametrize(("event", "name"), [(SCORED, "score"), (ALARM, "alarm")])
def test_an_event_carries_the_id_that_the_outbox_gave_it_or_none(event: Event, name: Any) -> None:
    assert validate(event_message(event, 12), name)["id"] == 12
    assert validate(event_message(event, None), name)["id"] is None


def test_history_holds_what_the_topics_would_have_carried() -> None:
    rows = [Row(3, entry_of(SCORED)), Row(4, entry_of(IDLE)), Row(5, entry_of(ALARM))]
    message = history_message(TOPICS, rows)
    assert (message.topic, message.retain) == ("plant/hall-3/box-1/history", False)
    events = validate(message, "history")["events"]
    assert [event["topic"] for event in events] == ["fan-7/score", "fan-7/score", "fan-7/alarm"]
    own = [event_message(event, number) for number, event in ((3, SCORED), (4, IDLE), (5, ALARM))]
    assert [event["payload"] for event in events] == [json.loads(message.payload) for message in own]


@pytest.mark.parametrize(
    ("machines", "troubles", "fault", "health"),
    [
        (["running"], (), None, "normal"),
        (["running", "failed"], (), None, "failure"),
        (["running"], ("the clock is not set",), None, "maintenance_required"),
        (["running"], (), "disk is full", "maintenance_required"),
        (["failed"], ("the clock is not set",), "disk is full", "failure"),
    ],
)
def test_the_health_of_the_device_is_the_worst_there_is(machines: Any, troubles: Any, fault: Any, health: str) -> None:
    reports = tuple(MachineReport(f"fan-{i}", state) for i, state in enumerate(machines))
    device = DeviceReport("0.1.0", "ab" * 32, EngineReport("onnxruntime", "fp32"), reports, troubles)
    link = LinkReport("localhost:1883", "5", fallback=False, connected=True, denials_visible=True)
    message = status_message(
        TOPICS, "online", "x", time=1.5e9, device=device, link=link, counts=Counts(), outbox=OutboxReport(fault=fault)
    )
    payload = validate(message, "status")
    assert payload["health"] == health
    assert len(payload["troubles"]) == len(troubles) + (fault is not None)


def test_a_machine_that_never_had_an_alarm_says_so_at_the_start() -> None:
    assert validate(event_message(NEVER), "alarm") == {
        "id": 7,
        "machine": "fan-7",
        "time": "2017-07-14T02:40:00.000Z",
        "active": False,
        "since": None,
        "score": None,
        "threshold": None,
        "condition": None,
        "severity": None,
        "suppressed": None,
        "cause": "start",
    }


def test_the_status_and_the_will_share_a_retained_topic_and_a_schema() -> None:
    assert status().topic == will_message(TOPICS).topic == "plant/hall-3/box-1/status"
    assert status().retain
    assert will_message(TOPICS).retain
    assert validate(status(), "status")["messages"] == {"published": 5, "acknowledged": 4, "denied": 0}
    assert validate(will_message(TOPICS), "status")["state"] == "offline"


@pytest.mark.parametrize(
    ("message", "name", "change"),
    [
        (event_message(SCORED), "score", {"score": None}),
        (event_message(IDLE), "score", {"score": 0.1}),
        (event_message(SCORED), "score", {"extra": 1}),
        (event_message(SCORED), "score", {"time": "yesterday"}),
        (event_message(ALARM), "alarm", {"since": None}),
        (event_message(ALARM), "alarm", {"active": "yes"}),
        (event_message(ALARM), "alarm", {"severity": 1001}),
        (event_message(ALARM), "alarm", {"cause": "removed"}),
        (event_message(CLEAR), "alarm", {"suppressed": "stopped"}),
        (event_message(CLEAR), "alarm", {"since": None}),
        (event_message(NEVER), "alarm", {"active": True}),
        (event_message(NEVER), "alarm", {"cause": "sound"}),
        (status(), "status", {"bundle": "default"}),
        (will_message(TOPICS), "status", {"state": "online"}),
    ],
)
def test_the_schemas_refuse_what_is_wrong(message: Message, name: Any, change: dict[str, Any]) -> None:
    wrong = json.loads(message.payload) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema(name)).validate(wrong)


def test_a_number_that_json_does_not_have_is_never_published() -> None:
    with pytest.raises(ValueError, match="JSON"):
        event_message(WindowScore("m", 0, 1, 0.0, WindowState.SCORED, 0.0, float("nan"), 0.1, "c"))
