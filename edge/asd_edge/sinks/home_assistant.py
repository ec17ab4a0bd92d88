"""Home Assistant's MQTT discovery: what makes a device and its machines appear there by themselves.

One retained message an entity, in the topics and with the keys of https://www.home-assistant.io/integrations/mqtt/
(single component discovery, which every version knows). The templates read the payloads that everybody else reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, get_args

from asd_edge.sinks.payloads import Health, Message
from asd_edge.sinks.topics import Topics

SILENT_AFTER_S: Final = 60
"""Seconds without a score after which there is none any more: a machine publishes about one a second."""

_ONLINE = "{{ value_json.state }}"
_RUNNING = (
    "{{{{ 'online' if value_json.state == 'online' and (value_json.machines "
    "| selectattr('machine', 'eq', '{machine}') | map(attribute='state') | first) == 'running' else 'offline' }}}}"
)
# "None" is what Home Assistant takes for unknown: the last will knows no health.
_DEVICE_HEALTH = "{{ value_json.health | default('None') }}"
_MACHINE_HEALTH = (
    "{{{{ value_json.machines | default([]) | selectattr('machine', 'eq', '{machine}') | map(attribute='health') "
    "| first | default('None') }}}}"
)


def discovery_messages(topics: Topics, prefix: str, machines: Sequence[str], version: str) -> list[Message]:
    """Return the messages that announce a device and its machines; published anew at every connection.

    Args:
        topics: where the device publishes.
        prefix: first level of Home Assistant's discovery topics (`mqtt.home_assistant`).
        machines: ids.
        version: of asd-edge.
    """
    box = f"asd-edge/{topics.device}"  # no id has a slash: no two devices and machines share a name
    about = {"manufacturer": "asd-edge", "sw_version": version}
    device = {"identifiers": [box], "name": topics.device, "model": "Sound monitor"} | about
    shared = {"origin": {"name": "asd-edge", "sw_version": version}, "qos": 1}
    online = _availability(topics, _ONLINE)
    health = shared | online | {"device": device} | _health(topics, _DEVICE_HEALTH)
    announced = [_message(topics, prefix, "sensor", "health", health)]
    for machine in machines:
        described = {"identifiers": [f"{box}/{machine}"], "name": machine, "model": "Machine", "via_device": box}
        running = _availability(topics, _RUNNING.format(machine=machine))
        for component, kind, entity in _entities(topics, machine):
            found = online if kind == "health" else running
            content = shared | found | {"device": described | about} | entity
            announced.append(_message(topics, prefix, component, f"{machine}-{kind}", content))
    return announced


def removals(before: Iterable[Message], now: Iterable[Message]) -> list[Message]:
    """Return what takes out of Home Assistant again what was announced before and is not now: empty, retained."""
    gone = {message.topic for message in before} - {message.topic for message in now}
    return [Message(topic, b"", retain=True) for topic in sorted(gone)]


def _entities(topics: Topics, machine: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return component, kind and content of a machine's entities."""
    score, alarm = topics.of(machine, "score"), topics.of(machine, "alarm")
    measured = {"state_topic": score, "state_class": "measurement", "expire_after": SILENT_AFTER_S}
    return [
        (
            "binary_sensor",
            "alarm",
            {
                "name": "Alarm",
                "device_class": "problem",
                "state_topic": alarm,
                "value_template": "{{ 'ON' if value_json.active else 'OFF' }}",
                "json_attributes_topic": alarm,
            },
        ),
        (
            "sensor",
            "score",
            measured
            | {
                "name": "Score",
                "value_template": "{{ value_json.score }}",  # none while it stands still: unknown
                "suggested_display_precision": 4,
            },
        ),
        (
            "sensor",
            "level",
            measured
            | {
                "name": "Level",
                "value_template": "{{ value_json.level_dbfs }}",
                "unit_of_measurement": "dBFS",
                "suggested_display_precision": 1,
            },
        ),
        ("sensor", "health", _health(topics, _MACHINE_HEALTH.format(machine=machine))),
    ]


def _health(topics: Topics, template: str) -> dict[str, Any]:
    return {
        "name": "Health",
        "device_class": "enum",
        "options": list(get_args(Health)),
        "state_topic": topics.status,
        "value_template": template,
        "entity_category": "diagnostic",
    }


def _availability(topics: Topics, template: str) -> dict[str, str]:
    return {"availability_topic": topics.status, "availability_template": template}


def _message(topics: Topics, prefix: str, component: str, entity: str, content: dict[str, Any]) -> Message:
    unique = {"unique_id": f"asd-edge/{topics.device}/{entity}"}
    payload = json.dumps(unique | content, separators=(",", ":")).encode()
    return Message(_topic(topics, prefix, component, entity), payload, retain=True)


def _topic(topics: Topics, prefix: str, component: str, entity: str) -> str:
    return f"{prefix}/{component}/asd-edge-{topics.device}/{entity}/config"
