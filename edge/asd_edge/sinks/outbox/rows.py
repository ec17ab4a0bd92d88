"""The values of the outbox: what is put in, what comes out, how it does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from asd_edge.words import counted


class Lane(IntEnum):
    """What goes first, and what is given up last."""

    SCORE = 0
    ALARM = 1  # alarms, and the few other events that people act on


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that is to be delivered.

    `kind`: `score`, `alarm` or `event`, the last level of its topic. `time`: its UTC seconds. `body`: its JSON, an
    object that is not empty.
    """

    lane: Lane
    machine: str
    kind: str
    time: float
    body: bytes

    def payload(self, number: int | None) -> bytes:
        """Return the body with its id."""
        head = b"null" if number is None else b"%d" % number
        return b'{"id":' + head + b"," + self.body[1:]


@dataclass(frozen=True, slots=True)
class Row:
    """An event on the disk. Ids rise by one with every event; none is ever used twice."""

    id: int
    entry: Entry

    @property
    def payload(self) -> bytes:
        """What is published of it."""
        return self.entry.payload(self.id)


def row_of(number: int, lane: int, machine: str, kind: str, time: float, body: bytes) -> Row:
    """Return the row of these columns.

    Raises:
        ValueError, TypeError: they are not what was written.
    """
    return Row(number, Entry(Lane(lane), str(machine), str(kind), float(time), bytes(body)))


@dataclass(frozen=True, slots=True)
class OutboxReport:
    """How an outbox does.

    `waiting`: events that nobody has confirmed. `oldest_s`: age of the oldest of them by its own time, seconds; None
    when none waits. `parked`: refused by the broker, kept, and offered again after an hour or a restart.
    `dropped_scores`, `dropped_alarms`: given up because of the bounds, a full disk or a damaged file, since the outbox
    was made. `uncommitted`: sent without ever being on the disk, since the start. `fault`: what is wrong with the disk
    or the file; None when nothing is.
    """

    waiting: int = 0
    oldest_s: float | None = None
    parked: int = 0
    dropped_scores: int = 0
    dropped_alarms: int = 0
    uncommitted: int = 0
    fault: str | None = None

    @property
    def troubles(self) -> tuple[str, ...]:
        """What needs a person: the disk, or the rights at the broker."""
        refused = f"the broker has refused {counted(self.parked, 'event')}: allow this device to publish them"
        return (*([] if self.fault is None else [self.fault]), *([refused] if self.parked else []))
