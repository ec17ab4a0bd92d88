"""What is published: the bytes of every message, and the schema each one satisfies."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Literal

from asd_edge.events import Event, WindowScore, utc
from asd_edge.sinks.outbox.rows import Entry, Lane, OutboxReport, Row
from asd_edge.sinks.topics import Topics, kind_of
from asd_edge.sources.health import MicrophoneReport

MachineState = Literal["starting", "running", "reopening", "ended", "failed"]
Health = Literal["normal", "failure", "check_function", "out_of_specification", "maintenance_required"]
"""Of the device, not of the machine: NAMUR NE 107. check_function: somebody is at work on it;
out_of_specification: its source was lost a moment ago and is opened again; maintenance_required: it goes on, but with
something that needs a person."""


_WORST_FIRST: tuple[Health, ...] = (
    "failure",
    "maintenance_required",
    "out_of_specification",
    "check_function",
    "normal",
)


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
    `microphone`: how its microphone does, None for a recording or a simulation.
    """

    machine: str
    state: MachineState
    error: str | None = None
    enrolling: str | None = None
    microphone: MicrophoneReport | None = None

    @property
    def health(self) -> Health:
        """What the device can be relied on for here, as NE 107 has it; what cannot be heard outweighs the rest."""
        microphone = self.microphone or MicrophoneReport()
        if self.state == "failed" or microphone.faults:
            return "failure"
        if self.enrolling is not None:
            return "check_function"
        if self.state == "reopening":
            return "out_of_specification"
        return "maintenance_required" if self.error is not None or microphone.warnings else "normal"

    @property
    def summary(self) -> str:
        """How it does, in a word or a few: why a status is published."""
        if self.state == "running" and self.microphone is not None and self.microphone.faults:
            return f"microphone {', '.join(self.microphone.faults)}"
        return self.health if self.health in ("check_function", "maintenance_required") else self.state

    @property
    def trouble(self) -> str | None:
        """What is wrong, in words; None when nothing is."""
        return self.error or (None if self.microphone is None else self.microphone.trouble)

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
    """What the daemon says about itself in every status. `troubles`: what else needs a person, beside the machines."""

    version: str
    bundle: str
    engine: EngineReport
    machines: tuple[MachineReport, ...]
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Messages of events since the daemon started; the status itself is not counted.

    `published`: handed to the broker. `acknowledged`: confirmed by it. `denied`: refused by it (MQTT 5 only).
    """

    published: int = 0
    acknowledged: int = 0
    denied: int = 0


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


def entry_of(event: Event) -> Entry:
    """Return what the outbox keeps of an event."""
    lane = Lane.SCORE if isinstance(event, WindowScore) else Lane.ALARM
    return Entry(lane, event.machine, kind_of(event), event.time, _json(event.to_json()))


def entry_message(topics: Topics, entry: Entry, number: int | None) -> Message:
    """Return the message of an event; `number` is its id, None when it is not on the disk."""
    return Message(topics.of(entry.machine, entry.kind), entry.payload(number), retain=entry.kind == "alarm")


def history_message(topics: Topics, rows: Sequence[Row]) -> Message:
    """Return one message of many events, which could not be sent when they happened."""
    events = (
        b'{"topic":"%s/%s","payload":%s}' % (r.entry.machine.encode(), r.entry.kind.encode(), r.payload) for r in rows
    )
    return Message(topics.history, b'{"device":"%s","events":[%s]}' % (topics.device.encode(), b",".join(events)))


def status_message(
    topics: Topics,
    state: Literal["online", "offline"],
    reason: str,
    *,
    time: float,
    device: DeviceReport,
    link: LinkReport,
    counts: Counts,
    outbox: OutboxReport,
) -> Message:
    """Return the retained status that the daemon publishes itself."""
    payload = {
        "state": state,
        "reason": reason,
        "device": topics.device,
        "time": utc(time),
        "health": device_health(device, outbox),
        "troubles": [*device.troubles, *(f"outbox: {trouble}" for trouble in outbox.troubles)],
        "version": device.version,
        "bundle": device.bundle,
        "engine": asdict(device.engine),
        "link": asdict(link),
        "messages": asdict(counts),
        "outbox": asdict(outbox) | {"oldest_s": None if outbox.oldest_s is None else round(outbox.oldest_s, 1)},
        "machines": [machine.to_json() for machine in device.machines],
    }
    return Message(topics.status, _json(payload), retain=True)


def device_health(device: DeviceReport, outbox: OutboxReport) -> Health:
    """Return the worst of all machines', and of what is wrong beside them."""
    troubled = bool(device.troubles or outbox.troubles)
    return worst_health([machine.health for machine in device.machines], troubled=troubled)


def worst_health(machines: Collection[Health], *, troubled: bool) -> Health:
    """Return the worst of all machines', and of what is wrong beside them."""
    found = {*machines, *(["maintenance_required"] if troubled else [])}
    return next((health for health in _WORST_FIRST if health in found), "normal")


def will_message(topics: Topics) -> Message:
    """Return the last will: what the broker says when the device vanishes. It cannot know the time."""
    payload = {"state": "offline", "reason": "connection lost", "device": topics.device}
    return Message(topics.status, _json(payload), retain=True)


def remote_message(topics: Topics, response: dict[str, Any]) -> Message:
    """Return the message of an answer to a remote request."""
    return Message(topics.remote_response, _json(response))


def schema(name: Literal["score", "alarm", "status", "event", "history", "remote"]) -> dict[str, Any]:
    """Return the JSON Schema of a payload."""
    loaded: dict[str, Any] = json.loads((files("asd_edge.sinks") / "schemas" / f"{name}.json").read_text("utf-8"))
    return loaded


def _json(payload: dict[str, Any]) -> bytes:
    # NaN is not JSON: better no message than one that no SCADA system can read.
    return json.dumps(payload, separators=(",", ":"), allow_nan=False).encode()
