"""The status as Prometheus reads it: its text format, version 0.0.4.

prometheus_client writes it too, but every device would have to install it for thirty lines, and its server gives each
connection a thread without a time limit. Its parser checks these lines in the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from asd_edge.status import Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NE107 = {"normal": 0, "failure": 1, "check_function": 2, "out_of_specification": 3, "maintenance_required": 4}
_NUMBERS = "0 normal, 1 failure, 2 check function, 3 out of specification, 4 maintenance required (NE 107)"

_Labels = Mapping[str, str]
_Sample = tuple[_Labels, float | int | bool | None]


def exposition(status: Status) -> str:
    """Return the page; a figure that is not known now has no line."""
    return "".join(line for family in _families(status) for line in family)


def _families(status: Status) -> Iterator[Iterator[str]]:
    process = status.process
    about = {"device": status.device, "version": status.version, "bundle": status.bundle, "engine": status.engine}
    yield _family("info", "gauge", "What runs here.", [(about, 1)])
    yield _family("health", "gauge", f"The worst of all: {_NUMBERS}.", [({}, _NE107.get(status.health))])
    yield _family("uptime_seconds", "gauge", "Since the daemon began.", [({}, process.uptime_s)])
    yield _family("memory_bytes", "gauge", "Resident memory.", [({}, round(process.memory_mib * (1 << 20)))])
    yield _family("descriptors", "gauge", "Open file descriptors.", [({}, process.descriptors)])
    yield _family("threads_stuck", "gauge", "Threads that stand still.", [({}, len(process.stuck))])
    yield from _of_machines(status)
    yield from _of_destinations(status)


def _of_machines(status: Status) -> Iterator[Iterator[str]]:
    machines = [({"machine": m.machine}, m) for m in status.machines]
    windows = [(label, m.window) for label, m in machines if m.window is not None]
    microphones = [(label, m.microphone) for label, m in machines if m.microphone is not None]
    yield _family("machine_health", "gauge", f"{_NUMBERS}.", [(label, _NE107.get(m.health)) for label, m in machines])
    yield _family("alarm", "gauge", "1 while an alarm stands.", [(label, m.alarm is not None) for label, m in machines])
    yield _family(
        "score", "gauge", "Of the newest window, if it was scored.", [(label, w.score) for label, w in windows]
    )
    yield _family("threshold", "gauge", "That score's limit.", [(label, w.threshold) for label, w in windows])
    yield _family("level_dbfs", "gauge", "Level of the newest window.", [(label, w.level_dbfs) for label, w in windows])
    yield _family(
        "overruns_total", "counter", "Times that sound was lost.", [(label, m.overruns) for label, m in microphones]
    )
    yield _family(
        "reopened_total",
        "counter",
        "Times that a source was reopened.",
        [(label, m.reopened) for label, m in microphones],
    )
    yield _family(
        "lost_seconds_total", "counter", "Sound that was lost.", [(label, m.lost_s) for label, m in microphones]
    )


def _of_destinations(status: Status) -> Iterator[Iterator[str]]:
    links = [({"destination": d.name}, d.link) for d in status.destinations]
    outboxes = [({"destination": d.name}, d.outbox) for d in status.destinations]
    dropped = [
        ({**label, "lane": lane}, number)
        for label, box in outboxes
        for lane, number in (("score", box.dropped_scores), ("alarm", box.dropped_alarms))
    ]
    yield _family(
        "link_up", "gauge", "1 while a broker is connected.", [(label, link.connected) for label, link in links]
    )
    yield _family("outbox_waiting", "gauge", "Events not confirmed.", [(label, box.waiting) for label, box in outboxes])
    yield _family(
        "outbox_oldest_seconds",
        "gauge",
        "Age of the oldest of them.",
        [(label, box.oldest_s) for label, box in outboxes],
    )
    yield _family("outbox_parked", "gauge", "Refused by the broker.", [(label, box.parked) for label, box in outboxes])
    yield _family("outbox_dropped_total", "counter", "Events that were given up.", dropped)
    yield _family(
        "outbox_uncommitted_total",
        "counter",
        "Events sent without being on the disk.",
        [(label, box.uncommitted) for label, box in outboxes],
    )


def _family(name: str, kind: Literal["gauge", "counter"], about: str, samples: Iterable[_Sample]) -> Iterator[str]:
    known = [(labels, value) for labels, value in samples if value is not None]
    if known:
        yield f"# HELP asd_edge_{name} {about}\n# TYPE asd_edge_{name} {kind}\n"
    for labels, value in known:
        within = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"asd_edge_{name}{{{within}}} {float(value)!r}\n" if within else f"asd_edge_{name} {float(value)!r}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
