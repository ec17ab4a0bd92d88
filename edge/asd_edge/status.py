"""How a running daemon does, as it says itself: the document behind `asd-edge status`, `watch` and Prometheus."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from asd_edge.strict import Name, Sha256, Strict, UtcTime

Normal: tuple[str, ...] = ("normal", "check_function")
"""Healths that need nobody: somebody is at work on it already."""


class WindowStatus(Strict):
    """The newest window of a machine, as it was published."""

    time: UtcTime
    state: str
    level_dbfs: float
    score: float | None
    threshold: float | None
    condition: str | None
    delay_s: float | None


class AlarmStatus(Strict):
    """An alarm that stands."""

    since: UtcTime | None
    condition: str | None
    severity: int | None
    suppressed: str | None


class MicrophoneStatus(Strict):
    """How a machine's microphone does (docs/microphones.md)."""

    level_dbfs: float | None
    floor_dbfs: float | None
    clipped_share: float | None
    dc: float | None
    overruns: int
    reopened: int
    lost_s: float
    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    unusable_file: str | None


class MachineStatus(Strict):
    """One machine: `health` as in the MQTT status, `error` is what is wrong; `window` is None before the first,
    and while the machine is not heard."""

    machine: Name
    state: str
    health: str
    error: str | None
    enrolling: str | None
    window: WindowStatus | None
    alarm: AlarmStatus | None
    microphone: MicrophoneStatus | None


class LinkStatus(Strict):
    """How a destination talks to its broker (docs/mqtt.md)."""

    broker: str
    protocol: Literal["5", "3.1.1"]
    fallback: bool
    connected: bool
    denials_visible: bool
    trouble: str | None


class OutboxStatus(Strict):
    """What waits on the disk for a broker (docs/operations.md): not confirmed by it, or to Sparkplug not sent."""

    waiting: int
    oldest_s: float | None
    parked: int
    dropped_scores: int
    dropped_alarms: int
    uncommitted: int
    fault: str | None


class MessageStatus(Strict):
    """What became of the messages to a broker that confirms them, since its destination was made."""

    published: int
    acknowledged: int
    denied: int


class DestinationStatus(Strict):
    """One destination, by the name of its table; `messages` is None where nobody confirms them."""

    name: str
    link: LinkStatus
    messages: MessageStatus | None
    outbox: OutboxStatus

    @property
    def trouble(self) -> str | None:
        """What is wrong with the connection; None when it stands."""
        return self.link.trouble or (None if self.link.connected else "no connection")


class FileStatus(Strict):
    """The device file that is in force. `reload_error`: why the last attempt to read it anew changed nothing."""

    path: str
    sha256: Sha256
    loaded: UtcTime
    reload_error: str | None


class ProcessStatus(Strict):
    """The process: resident memory, open descriptors, the threads that are watched, and those that are stuck."""

    pid: int
    uptime_s: Annotated[float, Field(ge=0.0)]
    memory_mib: float
    descriptors: int
    threads: tuple[str, ...]
    stuck: tuple[str, ...]


class Status(Strict):
    """Everything. `health` is the worst of all, as NE 107 has it; `troubles`: what needs a person beside machines."""

    device: Name
    time: UtcTime
    version: str
    bundle: str
    engine: str
    engine_reason: str | None
    health: str
    troubles: tuple[str, ...]
    machines: tuple[MachineStatus, ...]
    destinations: tuple[DestinationStatus, ...]
    process: ProcessStatus
    file: FileStatus

    @property
    def needs_a_person(self) -> tuple[str, ...]:
        """What somebody should look at, a line each; empty when all is normal."""
        machines = (f"{m.machine}: {m.error or m.health}" for m in self.machines if m.health not in Normal)
        links = (f"{d.name}: {d.trouble}" for d in self.destinations if d.trouble is not None)
        return (*machines, *self.troubles, *links)
