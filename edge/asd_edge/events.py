"""What the detector says: event values with their JSON side by side.

A score covers the sample interval [start, stop) of the stream; times are UTC seconds of capture.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Literal, TypeAlias

Suppression = Literal["stopped", "microphone"]
"""Why a standing alarm cannot be judged for the time being: its machine stands still, or its microphone is bad."""

AlarmCause = Literal["sound", "severity", "suppression", "start", "removed"]
"""Why an alarm is published. sound: it began or ended. severity: it got worse. suppression: `suppressed` changed while
it stood. start: it stands, or does not, as before; a detector has just started. removed: its machine is gone."""


class WindowState(str, Enum):
    """What a window could be used for."""

    SCORED = "scored"
    IDLE = "idle"  # every segment below the idle floor: the machine stands still, so there is no score
    NOT_ENROLLED = "not_enrolled"  # no centre of normal sound to compare with yet
    BAD_QUALITY = "bad_quality"  # the microphone is not to be believed: what it heard says nothing of the machine


@dataclass(frozen=True, slots=True)
class WindowScore:
    """The score of one window; `score`, `threshold` and `condition` are None unless the state is SCORED.

    `time` and `monotonic` say when sample `stop` was captured, by the wall clock and by the device's monotonic clock
    (seconds). `delay_s`: from then until the score was handed to the broker's sender; None while it was not.
    """

    machine: str
    start: int
    stop: int
    time: float
    state: WindowState
    level_dbfs: float
    score: float | None = None
    threshold: float | None = None
    condition: str | None = None
    monotonic: float | None = None
    delay_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the payload published for this score (schema: sinks/schemas/score.json)."""
        return {
            "machine": self.machine,
            "time": utc(self.time),
            "start": self.start,
            "stop": self.stop,
            "state": self.state.value,
            "level_dbfs": round(self.level_dbfs, 2),
            "score": self.score,
            "threshold": self.threshold,
            "condition": self.condition,
            "monotonic_s": None if self.monotonic is None else round(self.monotonic, 3),
            "delay_s": None if self.delay_s is None else round(self.delay_s, 3),
        }


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """A machine's alarm as it stands from now on (docs/alarms.md); without any `since` it never had one.

    `since`: capture time at which the alarm began; one that ends has that of the alarm it ends.
    `score`, `threshold`, `condition`: of the last window that said something about it; the limit and the operating
    condition were in force then. `severity`: 1 to 1000, as OPC UA counts; an alarm ends with the one it had.
    """

    machine: str
    time: float
    active: bool
    since: float | None = None
    score: float | None = None
    threshold: float | None = None
    condition: str | None = None
    severity: int | None = None
    suppressed: Suppression | None = None
    cause: AlarmCause = "sound"

    @property
    def begins(self) -> bool:
        """Whether the alarm has just begun: an active one is also published when more is known of it."""
        return self.active and self.cause == "sound"

    def to_json(self) -> dict[str, Any]:
        """Return the payload published for this change (schema: sinks/schemas/alarm.json)."""
        return {
            "machine": self.machine,
            "time": utc(self.time),
            "active": self.active,
            "since": None if self.since is None else utc(self.since),
            "score": self.score,
            "threshold": self.threshold,
            "condition": self.condition,
            "severity": self.severity,
            "suppressed": self.suppressed,
            "cause": self.cause,
        }


@dataclass(frozen=True, slots=True)
class ConditionsChanged:
    """What a machine's sound is compared with has changed, from the next window on.

    `revision`: of the stored conditions; `action`, `subject`, `author`: what made it. `conditions`: what is known now.
    """

    machine: str
    time: float
    revision: int
    action: str
    subject: str
    author: str
    conditions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the payload published for this change (schema: sinks/schemas/event.json)."""
        return {
            "machine": self.machine,
            "time": utc(self.time),
            "kind": "conditions_changed",
            "revision": self.revision,
            "action": self.action,
            "subject": self.subject,
            "author": self.author,
            "conditions": list(self.conditions),
        }


@dataclass(frozen=True, slots=True)
class DriftSuspected:
    """Normal sound of a condition has moved away from what was enrolled: a person should look and enroll again.

    `mean`: of the scores lately. `expected`: what it was when the condition was enrolled. Nothing is adapted.
    """

    machine: str
    time: float
    condition: str
    mean: float
    expected: float
    threshold: float

    def to_json(self) -> dict[str, Any]:
        """Return the payload published for this proposal (schema: sinks/schemas/event.json)."""
        return {
            "machine": self.machine,
            "time": utc(self.time),
            "kind": "drift_suspected",
            "condition": self.condition,
            "mean": self.mean,
            "expected": self.expected,
            "threshold": self.threshold,
            "remedy": "re-enroll?",
        }


def alarm_text(alarm: AlarmChange) -> str:
    """Say in a few words what has changed."""
    if not alarm.active:
        return "no alarm" if alarm.cause == "start" else "alarm ends"
    if alarm.cause == "suppression":
        return f"alarm suppressed: {alarm.suppressed}" if alarm.suppressed else "ALARM, judged again"
    return f"ALARM, severity {alarm.severity}"


Judgement: TypeAlias = WindowScore | AlarmChange
"""What a detector says of the sound."""

Event: TypeAlias = Judgement | ConditionsChanged | DriftSuspected
"""Everything that is published."""


def utc(seconds: float) -> str:
    """Format UTC seconds as ISO 8601 with milliseconds and a Z, as SCADA systems read it."""
    stamp = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
