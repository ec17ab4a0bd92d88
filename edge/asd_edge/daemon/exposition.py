"""The status as Prometheus reads it: its text format, version 0.0.4.

prometheus_client writes it too, but every device would have to install it for thirty lines, and its server gives each
connection a thread without a time limit. Its parser checks these lines in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from asd_edge.status import AlarmStatus, DestinationStatus, MachineStatus, MicrophoneStatus, Status, WindowStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NE107 = {"normal": 0, "failure": 1, "check_function": 2, "out_of_specification": 3, "maintenance_required": 4}
_NUMBERS = "0 normal, 1 failure, 2 check function, 3 out of specification, 4 maintenance required (NE 107)"

_Of = TypeVar("_Of")


@dataclass(frozen=True, slots=True)
class _Figure(Generic[_Of]):
    """A number of each device, machine or destination; None where it is not known now."""

    name: str
    kind: Literal["gauge", "counter"]
    about: str
    value: Callable[[_Of], float | None]


_INFO: tuple[_Figure[Status], ...] = (_Figure("info", "gauge", "What runs here.", lambda _: 1),)
_DEVICE: tuple[_Figure[Status], ...] = (
    _Figure("health", "gauge", f"The worst of all: {_NUMBERS}.", lambda s: _NE107.get(s.health)),
    _Figure("uptime_seconds", "gauge", "Since the daemon began.", lambda s: s.process.uptime_s),
    _Figure("memory_bytes", "gauge", "Resident memory.", lambda s: s.process.memory_mib * (1 << 20)),
    _Figure("descriptors", "gauge", "Open file descriptors.", lambda s: s.process.descriptors),
    _Figure("threads_stuck", "gauge", "Threads that stand still.", lambda s: len(s.process.stuck)),
)
_MACHINE: tuple[_Figure[MachineStatus], ...] = (
    _Figure("machine_health", "gauge", f"{_NUMBERS}.", lambda m: _NE107.get(m.health)),
    _Figure("alarm", "gauge", "1 while an alarm stands, suppressed or not.", lambda m: m.alarm is not None),
)
_ALARM: tuple[_Figure[AlarmStatus], ...] = (
    _Figure("alarm_suppressed", "gauge", "1 while the alarm that stands is.", lambda a: a.suppressed is not None),
    _Figure("alarm_severity", "gauge", "Of the alarm that stands, 1 to 1000.", lambda a: a.severity),
)
_WINDOW: tuple[_Figure[WindowStatus], ...] = (
    _Figure("score", "gauge", "Of the newest window, if it was scored.", lambda w: w.score),
    _Figure("threshold", "gauge", "Limit of that score.", lambda w: w.threshold),
    _Figure("level_dbfs", "gauge", "Level of the newest window.", lambda w: w.level_dbfs),
)
_MICROPHONE: tuple[_Figure[MicrophoneStatus], ...] = (
    _Figure("overruns_total", "counter", "Times that sound was lost while it was open.", lambda m: m.overruns),
    _Figure("reopened_total", "counter", "Times that it was opened again.", lambda m: m.reopened),
    _Figure("lost_seconds_total", "counter", "Seconds of sound that were lost.", lambda m: m.lost_s),
)
_DESTINATION: tuple[_Figure[DestinationStatus], ...] = (
    _Figure("link_up", "gauge", "1 while a broker is connected.", lambda d: d.link.connected),
    _Figure(
        "outbox_waiting", "gauge", "Events that wait: not confirmed, to Sparkplug not sent.", lambda d: d.outbox.waiting
    ),
    _Figure("outbox_oldest_seconds", "gauge", "Age of the oldest of them.", lambda d: d.outbox.oldest_s),
    _Figure("outbox_parked", "gauge", "Events that the broker refused.", lambda d: d.outbox.parked),
    _Figure("outbox_dropped_scores_total", "counter", "Scores given up.", lambda d: d.outbox.dropped_scores),
    _Figure("outbox_dropped_alarms_total", "counter", "Alarms given up.", lambda d: d.outbox.dropped_alarms),
    _Figure("outbox_uncommitted_total", "counter", "Sent without the disk.", lambda d: d.outbox.uncommitted),
)


def exposition(status: Status) -> str:
    """Return the page; a number that is not known now has no line."""
    about = {"device": status.device, "version": status.version, "bundle": status.bundle, "engine": status.engine}
    machines = [({"machine": machine.machine}, machine) for machine in status.machines]
    lines = [
        *_lines(_INFO, [(about, status)]),
        *_lines(_DEVICE, [({}, status)]),
        *_lines(_MACHINE, machines),
        *_lines(_ALARM, [(label, m.alarm) for label, m in machines if m.alarm is not None]),
        *_lines(_WINDOW, [(label, m.window) for label, m in machines if m.window is not None]),
        *_lines(_MICROPHONE, [(label, m.microphone) for label, m in machines if m.microphone is not None]),
        *_lines(_DESTINATION, [({"destination": there.name}, there) for there in status.destinations]),
    ]
    return "".join(f"{line}\n" for line in lines)


def _lines(figures: Sequence[_Figure[_Of]], subjects: Sequence[tuple[Mapping[str, str], _Of]]) -> Iterator[str]:
    for figure in figures:
        known = [(labels, value) for labels, of in subjects if (value := figure.value(of)) is not None]
        if known:
            yield f"# HELP asd_edge_{figure.name} {figure.about}"
            yield f"# TYPE asd_edge_{figure.name} {figure.kind}"
        for labels, value in known:
            within = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            yield f"asd_edge_{figure.name}{f'{{{within}}}' if within else ''} {float(value)!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
