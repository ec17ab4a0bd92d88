"""Home Assistant's discovery messages: the keys it documents, and templates that make sense of what is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_edge.config import DeviceConfig, load_config
from asd_edge.daemon.destinations import Destinations
from asd_edge.daemon.watchdog import Watchdog
from asd_edge.sinks.home_assistant import discovery_messages, removals
from asd_edge.sinks.outbox.rows import OutboxReport
from asd_edge.sinks.payloads import (
    Counts,
    DeviceReport,
    EngineReport,
    LinkReport,
    MachineReport,
    Message,
    entry_message,
    entry_of,
    status_message,
    will_message,
)
from asd_edge.sinks.topics import Topics
from tests.edge.device import write_device
from tests.edge.outages import REPORT
from tests.edge.required import required_module
from tests.edge.test_mqtt_payloads import ALARM, CLEAR, IDLE, SCORED

TOPICS = Topics("plant/hall-3", "box-1")
MACHINES = ["fan-7", "pump-2"]

# As documented: home-assistant.io/integrations/mqtt, /sensor.mqtt and /binary_sensor.mqtt (2025).
COMMON = {"unique_id", "name", "device", "origin", "qos", "state_topic", "value_template", "device_class"}
COMMON |= {"availability_topic", "availability_template", "entity_category", "expire_after", "enabled_by_default"}
COMMON |= {"json_attributes_topic", "json_attributes_template", "force_update", "icon"}
KEYS = {
    "sensor": COMMON | {"unit_of_measurement", "state_class", "suggested_display_precision", "options"},
    "binary_sensor": COMMON | {"payload_on", "payload_off", "off_delay"},
}
DEVICE = {"identifiers", "name", "model", "manufacturer", "sw_version", "via_device"}


def discovered(machines: list[str] = MACHINES, topics: Topics = TOPICS) -> dict[str, dict[str, Any]]:
    messages = discovery_messages(topics, "homeassistant", machines, "0.1.0")
    assert all(message.retain for message in messages)
    assert len({message.topic for message in messages}) == len(messages)
    return {message.topic: json.loads(message.payload) for message in messages}


def entity(name: str) -> dict[str, Any]:
    [found] = [content for topic, content in discovered().items() if topic.endswith(f"/{name}/config")]
    return found


def test_every_entity_has_documented_keys_and_no_other() -> None:
    found = discovered()
    assert len(found) == 1 + 4 * len(MACHINES)
    for topic, content in found.items():
        root, component, node, name, last = topic.split("/")
        assert (root, node, last) == ("homeassistant", "asd-edge-box-1", "config")
        assert set(content) <= KEYS[component]
        assert set(content["device"]) <= DEVICE
        assert content["unique_id"] == f"asd-edge/box-1/{name}"
        assert content["device"]["identifiers"]
        assert content["origin"] == {"name": "asd-edge", "sw_version": "0.1.0"}
        if content.get("device_class") == "enum":  # an enum has options, and no unit and no class of state
            assert "normal" in content["options"]
            assert {"unit_of_measurement", "state_class"}.isdisjoint(content)
    assert entity("fan-7-alarm")["device_class"] == "problem"
    assert entity("fan-7-score")["device"]["via_device"] == entity("health")["device"]["identifiers"][0]


names = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)


@given(st.lists(st.tuples(names, st.lists(names, unique=True, max_size=3)), min_size=2, unique_by=lambda pair: pair[0]))
def test_no_two_entities_of_any_devices_share_a_name(devices: list[tuple[str, list[str]]]) -> None:
    entities: list[tuple[str, str]] = []
    for device, machines in devices:
        entities += [(t, c["unique_id"]) for t, c in discovered(machines, Topics("asd", device)).items()]
    assert len({topic for topic, _ in entities}) == len({name for _, name in entities}) == len(entities)


def status(machine: MachineReport, state: Literal["online", "offline"] = "online") -> Message:
    return status_message(
        TOPICS,
        state,
        "connected",
        time=1.5e9,
        device=DeviceReport("0.1.0", "ab" * 32, EngineReport("onnxruntime", "fp32"), (machine,)),
        link=LinkReport("localhost:1883", "5", fallback=False, connected=True, denials_visible=True),
        counts=Counts(),
        outbox=OutboxReport(),
    )


RUNNING, FAILED = status(MachineReport("fan-7", "running")), status(MachineReport("fan-7", "failed", "no microphone"))
LEFT = status(MachineReport("fan-7", "running"), "offline")
OTHER, GONE = status(MachineReport("pump-2", "running")), will_message(TOPICS)
SCORE, STILL = entry_message(TOPICS, entry_of(SCORED), 1), entry_message(TOPICS, entry_of(IDLE), None)
BEGAN, ENDED = entry_message(TOPICS, entry_of(ALARM), 2), entry_message(TOPICS, entry_of(CLEAR), 3)


@pytest.mark.parametrize(
    ("name", "template", "topic", "said"),
    [
        ("fan-7-score", "value", "state", {SCORE: "0.3", STILL: "None"}),
        ("fan-7-level", "value", "state", {SCORE: "-31.23", STILL: "-81.0"}),
        ("fan-7-alarm", "value", "state", {BEGAN: "ON", ENDED: "OFF"}),
        ("fan-7-health", "value", "state", {RUNNING: "normal", FAILED: "failure", OTHER: "None", GONE: "None"}),
        ("health", "value", "state", {RUNNING: "normal", FAILED: "failure", GONE: "None"}),
        *(
            (f"fan-7-{kind}", "availability", "availability", said)
            for kind in ("score", "level", "alarm")
            for said in ({RUNNING: "online", FAILED: "offline", OTHER: "offline", LEFT: "offline", GONE: "offline"},)
        ),
        ("fan-7-health", "availability", "availability", {RUNNING: "online", FAILED: "online", GONE: "offline"}),
        ("health", "availability", "availability", {RUNNING: "online", GONE: "offline"}),
    ],
)
def test_templates_read_what_is_published(name: str, template: str, topic: str, said: dict[Message, str]) -> None:
    required_module("jinja2", "train")
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    content = entity(name)
    made = ImmutableSandboxedEnvironment().from_string(content[f"{template}_template"])
    for message, wanted in said.items():
        assert message.topic == content[f"{topic}_topic"]
        rendered = made.render(value_json=json.loads(message.payload))
        assert rendered == wanted
        if "options" in content and template == "value" and rendered != "None":
            assert rendered in content["options"]


def test_what_is_not_announced_any_more_is_removed() -> None:
    both, fan = (discovery_messages(TOPICS, "homeassistant", machines, "1") for machines in (MACHINES, ["fan-7"]))
    removed = removals(both, fan)
    assert {message.topic for message in removed} == {topic for topic in discovered() if "/pump-2-" in topic}
    assert all((message.payload, message.retain) == (b"", True) for message in removed)
    assert removals(removed + fan, fan) == removed  # at every connection from now on
    assert removals(removed + fan, both) == []


def test_what_a_reload_takes_away_is_removed_at_the_broker(broker: Any, listen: Any, tmp_path: Path) -> None:
    fan, pump = ({"id": name, "source": "sim:fan"} for name in MACHINES)

    def device(*machines: dict[str, Any], **mqtt: str) -> DeviceConfig:
        return load_config(write_device(tmp_path, tmp_path / "no.asd", broker.port, *machines, **mqtt))

    listener = listen(broker.port, "homeassistant/#")
    first = device(fan, pump, home_assistant="homeassistant")
    made = Destinations(first, lambda: REPORT, Watchdog(), lambda *_: None, lambda _publish: None)
    made.start(5.0)
    try:
        assert listener.wait("/pump-2-score/config", bool)["name"] == "Score"
        made.plan(device(fan, home_assistant="homeassistant"))()
        listener.wait("/pump-2-score/config", lambda content: not content)
        made.plan(device(fan))()
        listener.wait("/asd-edge-box/fan-7-score/config", lambda content: not content)
    finally:
        made.stop("the test is over", 1.0)
    last = dict(listener.messages)
    assert len(last) == 9  # of two machines and the box
    assert not any(last.values())
