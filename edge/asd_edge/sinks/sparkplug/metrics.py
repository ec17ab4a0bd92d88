"""The metrics of the edge node and of its devices, one a machine: docs/sparkplug.md shows these tables."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from asd_edge.sinks.sparkplug.codec import DataType

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


_NE_107_MEANING = "0 normal, 1 failure, 2 check function, 3 out of specification, 4 maintenance required"
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
    Definition("Health/NE107", DataType.INT32, _NE_107_MEANING),
    Definition("Health/Error", DataType.STRING, "what is wrong"),
    Definition("Health/Source", DataType.STRING, "`starting`, `running`, `reopening`, `ended` or `failed`"),
    Definition("Health/Enrolling", DataType.STRING, "who is changing the conditions right now"),
    Definition("Microphone/Faults", DataType.STRING, "why its sound is not to be believed, with commas between"),
    Definition("Microphone/Warnings", DataType.STRING, "why somebody should look at it"),
    Definition("Microphone/Floor", DataType.DOUBLE, "the lowest level of the last week", "dBFS", -120.0, 0.0),
    Definition("Microphone/Overruns", DataType.INT64, "times that sound was lost while it was open"),
    Definition("Microphone/Reopened", DataType.INT64, "times that it was opened again"),
    Definition("Microphone/Lost", DataType.DOUBLE, "sound lost to either", "s"),
)
NODE = (
    Definition(BD_SEQ, DataType.INT64, "which connection this is: the same in its NDEATH", low=0, high=255),
    Definition(REBIRTH, DataType.BOOLEAN, "write true to it to have every birth again"),
    Definition("Properties/Version", DataType.STRING, "of asd-edge"),
    Definition("Properties/Bundle", DataType.STRING, "SHA-256 of the bundle's file"),
    Definition("Properties/Engine", DataType.STRING, "what runs the network, and in which precision"),
    Definition("Health/NE107", DataType.INT32, "of the device: the worst of its machines' and of its own"),
    Definition("Health/Error", DataType.STRING, "what is wrong, a line each"),
    Definition("Outbox/Depth", DataType.INT64, "events on the disk that wait"),
    Definition("Outbox/Oldest", DataType.DOUBLE, "age of the oldest of them", "s"),
    Definition("Outbox/Dropped", DataType.INT64, "events given up since the outbox was made"),
    Definition("Outbox/Fault", DataType.STRING, "why events are not safe on the disk"),
)
