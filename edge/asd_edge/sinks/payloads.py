"""What is published: the bytes of every message, and the schema each one satisfies."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Literal

from asd_edge.events import AlarmChange, Event, utc
from asd_edge.sinks.topics import Topics

MachineState = Literal["starting", "running", "ended", "failed"]
Health = Literal["normal", "failure", "check_function", "maintenance_required"]
"""Of the device, not of the machine: NAMUR NE 107. check_function: somebody is at work on it; maintenance_required: it
goes on, but with something that needs a person."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message on its way: `retain` marks a topic that holds a state, not a history."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class MachineReport:
    """How one machine's source does; `error` is the text of what ended it, or of what is wrong while it goes on.

    `enrolling`: who is changing the machine's conditions right now, None when nobody is.
    """

    machine: str
    state: MachineState
    error: str | None = None
    enrolling: str | None = None

    @property
    def health(self) -> Health:
        """What the device can be relied on for here, as NE 107 has it; what cannot be heard outweighs the rest."""
        if self.state == "failed":
            return "failure"
        if self.enrolling is not None:
            return "check_function"
        return "normal" if self.error is None else "maintenance_required"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"health": self.health}


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What runs the network: `name` of the engine, the graph's precision, and why not another engine, None if none is
    missed."""

    name: Literal["onnxruntime", "tensorrt"]
    precision: Literal["fp32", "fp16", "int8"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """What the daemon says about itself in every status."""

    version: str
    bundle: str
    engine: EngineReport
    machines: tuple[MachineReport, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """Scores, alarms, events and remote answers since the daemon started; the status itself is not counted.

    `published`: handed to the broker. `acknowledged`: confirmed by it. `denied`: refused by it (MQTT 5 only).
    `dropped`: given up while the broker was away.
    """

    published: int = 0
    acknowledged: int = 0
    denied: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class LinkReport:
    """How the device talks to the broker, or would.

    `fallback`: the broker refused MQTT 5. `denials_visible`: whether the broker tells when its ACL throws a message
    away; MQTT 3.1.1 confirms it instead. `trouble`: what is wrong, None when nothing is known to be.
    """

    broker: str
    protocol: Literal["5", "3.1.1"]
    fallback: bool
    connected: bool
    denials_visible: bool
    trouble: str | None = None


def event_message(topics: Topics, event: Event) -> Message:
    """Return the message of a score or an alarm change."""
    return Message(topics.of(event), _json(event.to_json()), retain=isinstance(event, AlarmChange))


def no_alarm_message(topics: Topics, machine: str, *, time: float) -> Message:
    """Return the alarm message of a detector that has just started.

    It replaces an alarm left behind by a daemon that was killed, which would otherwise stand for ever.
    """
    fields = dict.fromkeys(("since", "score", "threshold", "condition"))
    payload = {"machine": machine, "time": utc(time), "active": False} | fields
    return Message(topics.alarm(machine), _json(payload), retain=True)


def status_message(
    topics: Topics,
    state: Literal["online", "offline"],
    reason: str,
    *,
    time: float,
    device: DeviceReport,
    link: LinkReport,
    counts: Counts,
) -> Message:
    """Return the retained status that the daemon publishes itself."""
    payload = {
        "state": state,
        "reason": reason,
        "device": topics.device,
        "time": utc(time),
        "version": device.version,
        "bundle": device.bundle,
        "engine": asdict(device.engine),
        "link": asdict(link),
        "messages": asdict(counts),
        "machines": [machine.to_json() for machine in device.machines],
    }
    return Message(topics.status, _json(payload), retain=True)


def will_message(topics: Topics) -> Message:
    """Return the last will: what the broker says when the device vanishes. It cannot know the time."""
    payload = {"state": "offline", "reason": "connection lost", "device": topics.device}
    return Message(topics.status, _json(payload), retain=True)


def remote_message(topics: Topics, response: dict[str, Any]) -> Message:
    """Return the message of an answer to a remote request."""
    return Message(topics.remote_response, _json(response))


def schema(name: Literal["score", "alarm", "status", "event", "remote"]) -> dict[str, Any]:
    """Return the JSON Schema of a payload."""
    loaded: dict[str, Any] = json.loads((files("asd_edge.sinks") / "schemas" / f"{name}.json").read_text("utf-8"))
    return loaded


def _json(payload: dict[str, Any]) -> bytes:
    # NaN is not JSON: better no message than one that no SCADA system can read.
    return json.dumps(payload, separators=(",", ":"), allow_nan=False).encode()
