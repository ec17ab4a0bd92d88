"""What a check found, and the report of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from asd_edge.strict import Strict, UtcTime

if TYPE_CHECKING:
    from asd_edge.doctor.device import Device

FORMAT: Final = "asd-edge-doctor"
VERSION: Final = 1


class Level(str, Enum):
    """How bad it is: a fault stops the device from doing its work, a warning does so later, or may."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor; `Line` says what its parts are."""

    level: Level
    found: str
    remedy: str | None = None
    subject: str | None = None
    unseen: str | None = None


def ok(found: str, *, subject: str | None = None, unseen: str | None = None) -> Finding:
    """Return a finding that needs nothing done."""
    return Finding(Level.OK, found, None, subject, unseen)


def warning(found: str, remedy: str, *, subject: str | None = None, unseen: str | None = None) -> Finding:
    """Return a finding that somebody should know of."""
    return Finding(Level.WARNING, found, remedy, subject, unseen)


def fault(found: str, remedy: str, *, subject: str | None = None, unseen: str | None = None) -> Finding:
    """Return a finding that stops the device from doing its work."""
    return Finding(Level.FAULT, found, remedy, subject, unseen)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at.

    `name` is what reports call it, for good; `looks_at` stands in docs/doctor.md; after `limit_s` seconds the doctor
    goes on without its answer. `look` yields one finding for each thing of its kind, none where there is no such thing.
    """

    name: str
    looks_at: str
    look: Callable[[Device], Iterable[Finding]]
    limit_s: float = 10.0


class Line(Strict):
    """A finding in the report."""

    check: str = Field(description="What was looked at: a name of the table above.")
    level: Literal["ok", "warning", "fault"] = Field(description="How bad it is.")
    found: str = Field(description="What was found, one sentence or less.")
    remedy: str | None = Field(description="What to do about it; null when ok.")
    subject: str | None = Field(description="Which machine, file or part it is about, where a check has several.")
    unseen: str | None = Field(description="What could not be looked at, and why.")


class Report(Strict):
    """What `asd-edge doctor --json` prints."""

    format: Literal["asd-edge-doctor"] = Field(default=FORMAT, description='`"asd-edge-doctor"`.')
    version: Literal[1] = Field(default=VERSION, description="1; it rises when a key changes its meaning or goes.")
    time: UtcTime = Field(description="When it was made, by the device's own clock.")
    asd_edge: str = Field(description="Version of asd-edge.")
    faults: int = Field(description="How many findings are faults; with none the exit code is 0.")
    warnings: int = Field(description="How many are warnings.")
    findings: tuple[Line, ...] = Field(description="In the order of the table above, each with the keys below.")
