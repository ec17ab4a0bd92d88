"""A status in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from asd_edge.status import DestinationStatus, MachineStatus, Status

_OLD_S = 60.0  # of a window whose age is told


def status_text(status: Status) -> str:
    """Return the whole status, for a terminal of 80 columns; what needs a person comes last."""
    process, file = status.process, status.file
    reason = "" if status.engine_reason is None else f" ({status.engine_reason})"
    lines = [
        f"{status.device}: {words(status.health)}, up {duration(process.uptime_s)}, asd-edge {status.version}",
        f"bundle    {status.bundle} on {status.engine}{reason}",
        f"file      {file.path} ({file.sha256[:12]}), in force since {file.loaded}",
        f"process   {process.pid}, {process.memory_mib:.0f} MiB, {process.descriptors} descriptors, "
        f"{len(process.threads)} threads{', ' + str(len(process.stuck)) + ' STUCK' if process.stuck else ' alive'}",
        "",
        *_machines(status),
        "",
        *(destination_line(destination) for destination in status.destinations),
    ]
    needs = status.needs_a_person
    if needs:
        lines += ["", "Needs a person:", *(f"- {line}" for line in needs)]
    return "\n".join(lines)


def _machines(status: Status) -> Iterator[str]:
    width = max((len(machine.machine) for machine in status.machines), default=0)
    for machine in status.machines:
        yield f"{machine.machine:{width}}  {machine_line(machine, status.time)}"


def machine_line(machine: MachineStatus, now: str) -> str:
    """Return how a machine does, in a line without its name, at the time `now` of its status."""
    window, alarm = machine.window, machine.alarm
    parts = [machine.state if machine.health == "normal" else f"{machine.state}, {words(machine.health)}"]
    if window is None:
        parts += ["no score yet"] if machine.state in ("starting", "running") else []
    else:
        parts.append(f"{window.level_dbfs:.1f} dBFS")
        parts.append(words(window.state) if window.score is None else score_text(window.score, window.threshold))
        if (age_s := _seconds(now) - _seconds(window.time)) >= _OLD_S:  # a watched folder may pause
            parts.append(f"{duration(age_s)} ago")
    if alarm is not None:
        severity = "" if alarm.severity is None else f", severity {alarm.severity}"
        parts.append(
            f"ALARM since {alarm.since}{severity}"
            if alarm.suppressed is None
            else f"an alarm since {alarm.since} is suppressed ({words(alarm.suppressed)}){severity}"
        )
    return ", ".join(parts)


def _seconds(time: str) -> float:
    return datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def score_text(score: float, threshold: float | None) -> str:
    """Return a score with its limit."""
    return f"score {score:.3f}" + ("" if threshold is None else f" of {threshold:.3f}")


def destination_line(destination: DestinationStatus) -> str:
    """Return how a destination does, in a line."""
    link, outbox = destination.link, destination.outbox
    connected = f"connected, MQTT {link.protocol}" if link.connected else f"NOT connected ({link.trouble or 'yet'})"
    oldest = "" if outbox.oldest_s is None else f", the oldest for {duration(outbox.oldest_s)}"
    dropped = outbox.dropped_scores + outbox.dropped_alarms
    return (
        f"{destination.name:9} {link.broker} {connected}; {outbox.waiting} waiting{oldest}, "
        f"{outbox.parked} refused, {dropped} given up"
    )


def words(name: str) -> str:
    """Return a name as people write it."""
    return name.replace("_", " ")


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if rest >= length or (unit == "s" and not parts):
            parts.append(f"{rest // length} {unit}")
            rest %= length
    return " ".join(parts[:2])
