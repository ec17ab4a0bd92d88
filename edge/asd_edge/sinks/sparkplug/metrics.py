"""The metrics of the edge node and of its devices (one a machine), and what an event says about them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from asd_edge.sinks.outbox.rows import OutboxReport
from asd_edge.sinks.payloads import DeviceReport, MachineReport, device_health
from asd_edge.sinks.sparkplug.codec import DataType, Metric, Property, Value

REBIRTH = "Node Control/Rebirth"
BD_SEQ = "bdSeq"


class Quality(IntEnum):
    """How far a value can be relied on; the codes of Sparkplug 3.0, 6.4.8 "Quality Codes"."""

    BAD = 0
    GOOD = 192
    STALE = 500


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric that exists: what a birth says of it, and what the documentation says.

    `heard`: without sound to be believed, there is no value of good quality.
    """

    name: str
    datatype: DataType
    meaning: str
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    heard: bool = False


MACHINE = (
    Definition("Score", DataType.DOUBLE, "distance to the nearest normal sound; higher is more anomalous", heard=True),
    Definition("Threshold", DataType.DOUBLE, "the score above which that condition is anomalous", heard=True),
    Definition("Condition", DataType.STRING, "the nearest operating condition", heard=True),
    Definition("State", DataType.STRING, "`scored`, `idle`, `not_enrolled` or `bad_quality`", heard=True),
    Definition("Level", DataType.DOUBLE, "level of the sound", "dBFS", -120.0, 0.0, heard=True),
    Definition("Alarm/Active", DataType.BOOLEAN, "whether there is an alarm"),
    Definition("Alarm/Severity", DataType.INT32, "how urgent it is", low=1, high=1000),
    Definition("Alarm/Since", DataType.DATETIME, "when this alarm, or the one that ended last, began"),
    Definition("Alarm/Suppressed", DataType.STRING, "why it cannot be judged now: `stopped` or `microphone`"),
    Definition("Alarm/Score", DataType.DOUBLE, "the score at its last change"),
    Definition("Alarm/Threshold", DataType.DOUBLE, "the threshold then"),
    Definition("Alarm/Condition", DataType.STRING, "the operating condition then"),
    Definition("Conditions/Revision", DataType.INT64, "counts the changes of what the sound is compared with"),
    Definition("Conditions/Known", DataType.STRING, "the names of the conditions after it, with commas between"),
    Definition("Conditions/Action", DataType.STRING, "what changed them"),
    Definition("Conditions/Subject", DataType.STRING, "which condition was changed"),
    Definition("Conditions/Author", DataType.STRING, "who changed them"),
    Definition("Drift/Condition", DataType.STRING, "whose normal sound has moved away from what was enrolled"),
    Definition("Drift/Mean", DataType.DOUBLE, "mean score there lately"),
    Definition("Drift/Expected", DataType.DOUBLE, "mean score when it was enrolled"),
    Definition("Health/NE107", DataType.INT32, "0 normal, 1 failure, 2 check function, 4 maintenance required"),
    Definition("Health/Error", DataType.STRING, "what is wrong"),
    Definition("Health/Source", DataType.STRING, "`starting`, `running`, `ended` or `failed`"),
    Definition("Health/Enrolling", DataType.STRING, "who is changing the conditions right now"),
)
NODE = (
    Definition(BD_SEQ, DataType.INT64, "which connection this is: the same in its NDEATH", low=0, high=255),
    Definition(REBIRTH, DataType.BOOLEAN, "write true to it to have every birth again"),
    Definition("Properties/Version", DataType.STRING, "of asd-edge"),
    Definition("Properties/Bundle", DataType.STRING, "SHA-256 of the bundle's file"),
    Definition("Properties/Engine", DataType.STRING, "what runs the network, and in which precision"),
    Definition("Health/NE107", DataType.INT32, "the worst of its machines, as theirs"),
    Definition("Health/Error", DataType.STRING, "what is wrong, machine by machine"),
    Definition("Outbox/Depth", DataType.INT64, "events on the disk that wait"),
    Definition("Outbox/Oldest", DataType.DOUBLE, "age of the oldest of them", "s"),
    Definition("Outbox/Dropped", DataType.INT64, "events given up since the outbox was made"),
    Definition("Outbox/Fault", DataType.STRING, "why events are not safe on the disk"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a metric at a time (ms since 1970, UTC)."""

    name: str
    value: Value
    time: int
    quality: Quality = Quality.GOOD


class Values:
    """The present values of the node's or of one device's metrics: what a birth tells."""

    def __init__(self, definitions: Iterable[Definition], time: int) -> None:
        self._definitions = {definition.name: definition for definition in definitions}
        self._readings = {name: Reading(name, None, time, Quality.STALE) for name in self._definitions}

    def put(self, readings: Iterable[Reading]) -> tuple[Metric, ...]:
        """Take readings; return those that say something new, as Sparkplug reports by exception."""
        news = []
        for reading in readings:
            held = self._readings[reading.name]
            if (reading.value, reading.quality) != (held.value, held.quality):
                self._readings[reading.name] = reading
                news.append(reading)
        return tuple(self._metric(reading) for reading in _chronological(news))

    def silence(self, time: int) -> list[Reading]:
        """Return what is left of the values that need sound, when nothing is heard any more."""
        return [Reading(d.name, None, time, Quality.BAD) for d in self._definitions.values() if d.heard]

    def birth(self) -> tuple[Metric, ...]:
        """Return every metric with its present value, unit and range."""
        return tuple(self._metric(reading, birth=True) for reading in _chronological(self._readings.values()))

    def history(self, rows: Iterable[Iterable[Reading]]) -> tuple[Metric, ...]:
        """Return what was read earlier, oldest row first, without what repeats itself; the present values stay."""
        told: dict[str, tuple[Value, Quality]] = {}
        metrics = []
        for row in rows:
            for reading in row:
                said = reading.value, reading.quality
                if told.get(reading.name) != said:
                    told[reading.name] = said
                    metrics.append(self._metric(reading, historical=True))
        return tuple(metrics)

    def _metric(self, reading: Reading, *, birth: bool = False, historical: bool = False) -> Metric:
        definition = self._definitions[reading.name]
        properties = {"Quality": Property(DataType.INT32, int(reading.quality))}
        if birth:
            properties |= _description(definition)
        return Metric(
            reading.name,
            definition.datatype,
            reading.value,
            reading.time,
            historical=historical,
            properties=properties,
        )


def _chronological(readings: Iterable[Reading]) -> list[Reading]:
    return sorted(readings, key=lambda reading: reading.time)  # tck-id-operational-behavior-data-publish-dbirth-order


def _description(definition: Definition) -> dict[str, Property]:
    limits = {"engLow": definition.low, "engHigh": definition.high}
    ranges = {key: Property(DataType.DOUBLE, limit) for key, limit in limits.items() if limit is not None}
    unit = {} if definition.unit is None else {"engUnit": Property(DataType.STRING, definition.unit)}
    return unit | ranges | {"documentation": Property(DataType.STRING, definition.meaning)}


def event_readings(event: Mapping[str, Any]) -> list[Reading]:
    """Return what the JSON of an event says of its machine; no readings of what this version does not know."""
    time = milliseconds(event["time"])
    match event.get("kind"):
        case "conditions_changed":
            values = {
                f"Conditions/{key.capitalize()}": event[key] for key in ("revision", "action", "subject", "author")
            }
            known = {"Conditions/Known": ", ".join(event["conditions"])}
            no_drift = dict.fromkeys(("Drift/Condition", "Drift/Mean", "Drift/Expected"))  # nobody has drifted from it
            return [Reading(name, value, time) for name, value in (values | known | no_drift).items()]
        case "drift_suspected":
            return [Reading(f"Drift/{key.capitalize()}", event[key], time) for key in _OF_A_DRIFT]
        case None if "active" in event:
            return _alarm_readings(event, time)
        case None if "state" in event:
            return _score_readings(event, time)
    return []


_OF_A_SCORE = ("score", "threshold", "condition")
_OF_A_CHANGE = ("revision", "action", "subject", "author")
_OF_A_DRIFT = ("condition", "mean", "expected")


def _score_readings(event: Mapping[str, Any], time: int) -> list[Reading]:
    """A machine that stands still has no score, and that is well known; without conditions or sound it is unknown."""
    sound = Quality.BAD if event["state"] == "bad_quality" else Quality.GOOD
    score = Quality.GOOD if event["state"] in ("scored", "idle") else Quality.BAD
    scored = event["state"] == "scored"  # whatever else is in the event, no other state has a score
    return [
        *(Reading(key.capitalize(), event[key] if scored else None, time, score) for key in _OF_A_SCORE),
        Reading("State", event["state"], time, sound),
        Reading("Level", event["level_dbfs"], time, sound),
    ]


def _alarm_readings(event: Mapping[str, Any], time: int) -> list[Reading]:
    since, suppressed = event["since"], event.get("suppressed")
    # The alarm stands as it stood, but nobody can say whether it still should.
    quality = Quality.BAD if suppressed == "microphone" else Quality.GOOD
    return [
        Reading("Alarm/Active", event["active"], time, quality),
        Reading("Alarm/Severity", event.get("severity"), time, quality),
        Reading("Alarm/Since", None if since is None else milliseconds(since), time),
        Reading("Alarm/Suppressed", suppressed, time),
        *(Reading(f"Alarm/{key.capitalize()}", event[key], time) for key in _OF_A_SCORE),
    ]


_NE_107 = {"normal": 0, "failure": 1, "check_function": 2, "out_of_specification": 3, "maintenance_required": 4}


def health_readings(report: MachineReport, time: int) -> list[Reading]:
    """Return what the device says of its own part at a machine."""
    code, enrolling = _NE_107[report.health], report.enrolling
    values = {"NE107": code, "Error": report.error, "Source": report.state, "Enrolling": enrolling}
    return [Reading(f"Health/{name}", value, time) for name, value in values.items()]


def node_readings(report: DeviceReport, outbox: OutboxReport, unsent: int, time: int) -> list[Reading]:
    """Return what the device says of itself; `unsent`: events that wait for a host."""
    errors = [f"{machine.machine}: {machine.error}" for machine in report.machines if machine.error is not None]
    values: dict[str, Value] = {
        "Properties/Version": report.version,
        "Properties/Bundle": report.bundle,
        "Properties/Engine": f"{report.engine.name} {report.engine.precision}",
        "Health/NE107": _NE_107[device_health(report, outbox)],
        "Health/Error": "\n".join([*report.troubles, *errors]) or None,
        "Outbox/Depth": unsent,
        "Outbox/Oldest": None if outbox.oldest_s is None or not unsent else round(outbox.oldest_s, 1),
        "Outbox/Dropped": outbox.dropped_scores + outbox.dropped_alarms,
        "Outbox/Fault": outbox.fault,
    }
    return [Reading(name, value, time) for name, value in values.items()]


def milliseconds(time: str) -> int:
    """Return a time as `events.utc` writes it in ms since 1970."""
    return math.floor(datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() * 1000.0 + 0.5)
