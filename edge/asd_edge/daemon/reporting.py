"""What the daemon says of itself: to brokers, to commands, to systemd."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from time import monotonic, time

from asd_edge import __version__
from asd_edge.bundle.bundle import Bundle
from asd_edge.control import ServedMachine, Serving
from asd_edge.daemon.alarms import AlarmBook
from asd_edge.daemon.control import ControlServer
from asd_edge.daemon.destinations import Destinations
from asd_edge.daemon.engines import Engines
from asd_edge.daemon.evidence import Evidence
from asd_edge.daemon.listening.machines import Machines
from asd_edge.daemon.prometheus import Prometheus
from asd_edge.daemon.reload import Reload
from asd_edge.daemon.watchdog import Watchdog
from asd_edge.events import AlarmChange, WindowScore, utc
from asd_edge.sinks.outbox.rows import OutboxReport
from asd_edge.sinks.payloads import Counts, DeviceReport, LinkReport, MachineReport, worst_health
from asd_edge.status import (
    AlarmStatus,
    DestinationStatus,
    FileStatus,
    LinkStatus,
    MachineStatus,
    MessageStatus,
    MicrophoneStatus,
    OutboxStatus,
    ProcessStatus,
    Status,
    WindowStatus,
)

_FIRST_YEAR = 1_767_225_600.0  # 2026, before which there was no asd-edge


@dataclass(frozen=True, slots=True)
class Reporting:
    """Asks the parts of a daemon how they do. Any thread may ask.

    `began`: when the daemon did, of the monotonic clock.
    """

    reload: Reload
    bundle: Bundle
    engines: Engines
    machines: Machines
    destinations: Destinations
    watchdog: Watchdog
    alarms: AlarmBook
    evidence: Evidence
    prometheus: Prometheus
    control: ControlServer
    began: float

    @property
    def device(self) -> DeviceReport:
        """What every destination publishes."""
        return DeviceReport(
            __version__, self.bundle.bundle_id, self.engines.report, self.machines.reports, self._troubles()
        )

    @property
    def serving(self) -> Serving:
        """What the daemon hears with."""
        return Serving(
            name=self.bundle.manifest.name,
            bundle_id=self.bundle.bundle_id,
            embedding_id=self.bundle.embedding_id,
            precision=self.bundle.precision,
            engine=self.engines.report.name,
            machines=tuple(
                ServedMachine(machine=r.machine, health=r.health, error=r.trouble) for r in self.machines.reports
            ),
        )

    @property
    def status(self) -> Status:
        """Everything."""
        reports = self.destinations.reports
        destinations = tuple(_destination(name, *report) for name, report in reports.items())
        outboxes = (
            f"outbox of {name}: {trouble}" for name, (_, _, outbox) in reports.items() for trouble in outbox.troubles
        )
        troubles = (*self._troubles(), *outboxes)
        machines, file, error = self.machines.heard, self.reload.file, self.reload.error
        return Status(
            device=file.config.device.id,
            time=utc(time()),
            version=__version__,
            bundle=str(self.serving),
            engine=f"{self.engines.report.name}/{self.engines.report.precision}",
            engine_reason=self.engines.report.reason,
            health=worst_health(
                [report.health for report, _ in machines],
                troubled=bool(troubles) or any(destination.trouble for destination in destinations),
            ),
            troubles=troubles,
            machines=tuple(self._machine(*machine) for machine in machines),
            destinations=destinations,
            process=ProcessStatus(
                pid=os.getpid(),
                uptime_s=round(monotonic() - self.began, 1),
                memory_mib=round(_resident_bytes() / (1 << 20), 1),
                descriptors=len(os.listdir("/proc/self/fd")),
                threads=self.watchdog.threads,
                stuck=self.watchdog.stuck,
            ),
            file=FileStatus(
                path=str(file.path.absolute()),
                sha256=file.sha256,
                loaded=utc(file.loaded),
                reload_error=None if error is None else error.line,
            ),
        )

    @property
    def line(self) -> str:
        """How it does in a line, for `systemctl status`."""
        reports = self.machines.reports
        heard = sum(report.state == "running" for report in reports)
        links = (
            f"{name} {'connected' if link.connected else 'waits for its broker'}"
            for name, (link, _, _) in self.destinations.reports.items()
        )
        parts = (f"{heard} of {len(reports)} machines heard", *links, *(f"STUCK: {how}" for how in self.watchdog.stuck))
        return "; ".join(parts)

    def _troubles(self) -> tuple[str, ...]:
        """Say what needs a person, beside what machines and outboxes say themselves."""
        stuck = (f"a thread is stuck: {how}" for how in self.watchdog.stuck)
        error = self.reload.error
        file = () if error is None else (f"the device file was not taken: {error.line}",)
        alarms = () if self.alarms.fault is None else (f"alarms: {self.alarms.fault.line}",)
        evidence = () if self.evidence.report.fault is None else (f"evidence: {self.evidence.report.fault}",)
        faults = (self.prometheus.fault, self.control.fault, clock_fault(time()))
        others = (fault for fault in faults if fault is not None)
        return (*stuck, *file, *alarms, *evidence, *others)

    def _machine(self, report: MachineReport, window: WindowScore | None) -> MachineStatus:
        alarm = self.alarms.standing(report.machine)
        return MachineStatus(
            machine=report.machine,
            state=report.state,
            health=report.health,
            error=report.trouble,
            enrolling=report.enrolling,
            window=None if window is None or report.state != "running" else _window(window),
            alarm=None if alarm is None else _alarm(alarm),
            microphone=None if report.microphone is None else MicrophoneStatus(**asdict(report.microphone)),
        )


def clock_fault(seconds: float) -> str | None:
    """Say whether UTC seconds can be the time at all: a board without a battery begins in 1970, until NTP sets it."""
    if seconds >= _FIRST_YEAR:
        return None
    return f"the clock is not set: it says {utc(seconds)}, and so do events until it is"


def _window(window: WindowScore) -> WindowStatus:
    return WindowStatus(
        time=utc(window.time),
        state=window.state.value,
        level_dbfs=round(window.level_dbfs, 1),
        score=window.score,
        threshold=window.threshold,
        condition=window.condition,
        delay_s=window.delay_s,
    )


def _alarm(alarm: AlarmChange) -> AlarmStatus:
    return AlarmStatus(
        since=None if alarm.since is None else utc(alarm.since),
        condition=alarm.condition,
        severity=alarm.severity,
        suppressed=alarm.suppressed,
    )


def _destination(name: str, link: LinkReport, counts: Counts | None, outbox: OutboxReport) -> DestinationStatus:
    return DestinationStatus(
        name=name,
        link=LinkStatus(**asdict(link)),
        messages=None if counts is None else MessageStatus(**asdict(counts)),
        outbox=OutboxStatus(**asdict(outbox)),
    )


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
