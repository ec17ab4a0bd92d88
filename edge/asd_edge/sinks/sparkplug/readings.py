"""What events and reports say about metrics."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from asd_edge.sinks.outbox.rows import Entry, OutboxReport
from asd_edge.sinks.payloads import DeviceReport, Health, MachineReport, device_health
from asd_edge.sinks.sparkplug.codec import Value
from asd_edge.sinks.sparkplug.metrics import Quality
from asd_edge.sinks.sparkplug.values import Reading

_log = logging.getLogger(__name__)


def entry_readings(entry: Entry) -> list[Reading]:
    """Return what an entry of the outbox says; nothing, if it is no event any more: one row must not hold up others."""
    try:
        return event_readings(json.loads(entry.body))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        _log.warning("An event of %s in the outbox cannot be read, and is left out: %r", entry.machine, error)
        return []


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
    since, suppressed = event["since"], event["suppressed"]
    # The alarm stands as it stood, but nobody can say whether it still should.
    quality = Quality.BAD if suppressed == "microphone" else Quality.GOOD
    return [
        Reading("Alarm/Active", event["active"], time, quality),
        Reading("Alarm/Severity", event["severity"], time, quality),
        Reading("Alarm/Since", None if since is None else milliseconds(since), time),
        Reading("Alarm/Suppressed", suppressed, time),
        *(Reading(f"Alarm/{key.capitalize()}", event[key], time) for key in _OF_A_SCORE),
    ]


_NE_107: dict[Health, int] = {
    "normal": 0,
    "failure": 1,
    "check_function": 2,
    "out_of_specification": 3,
    "maintenance_required": 4,
}


def health_readings(report: MachineReport, time: int) -> list[Reading]:
    """Return what the device says of its own part at a machine; of no microphone where there is none."""
    values: dict[str, Value] = {
        "Health/NE107": _NE_107[report.health],
        "Health/Error": report.trouble,
        "Health/Source": report.state,
        "Health/Enrolling": report.enrolling,
    }
    if (microphone := report.microphone) is not None:
        values |= {
            "Microphone/Faults": ", ".join(microphone.faults),
            "Microphone/Warnings": ", ".join(microphone.warnings),
            "Microphone/Floor": microphone.floor_dbfs,
            "Microphone/Overruns": microphone.overruns,
            "Microphone/Reopened": microphone.reopened,
            "Microphone/Lost": round(microphone.lost_s, 3),
        }
    return [Reading(name, value, time) for name, value in values.items()]


def node_readings(report: DeviceReport, outbox: OutboxReport, unsent: int, time: int) -> list[Reading]:
    """Return what the device says of itself; `unsent`: events that wait for a host."""
    troubles = [f"{machine.machine}: {machine.trouble}" for machine in report.machines if machine.trouble is not None]
    values: dict[str, Value] = {
        "Properties/Version": report.version,
        "Properties/Bundle": report.bundle,
        "Properties/Engine": f"{report.engine.name} {report.engine.precision}",
        "Health/NE107": _NE_107[device_health(report, outbox)],
        "Health/Error": "\n".join([*report.troubles, *troubles]) or None,
        "Outbox/Depth": unsent,
        "Outbox/Oldest": None if outbox.oldest_s is None or not unsent else round(outbox.oldest_s, 1),
        "Outbox/Dropped": outbox.dropped_scores + outbox.dropped_alarms,
        "Outbox/Fault": outbox.fault,
    }
    return [Reading(name, value, time) for name, value in values.items()]


def milliseconds(time: str) -> int:
    """Return a time as `events.utc` writes it in ms since 1970."""
    return math.floor(datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() * 1000.0 + 0.5)
