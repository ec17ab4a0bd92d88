"""Run checks one after the other; none can hang or crash the rest."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Queue
from time import monotonic

from asd_edge import __version__
from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Check, Finding, Level, Line, Report, fault
from asd_edge.errors import AsdEdgeError
from asd_edge.strict import utc_time


def examine(device: Device, checks: Iterable[Check]) -> Iterator[Line]:
    """Yield what the checks find, each as soon as it is known."""
    for check in checks:
        for finding in _within_its_limit(check, device):
            yield Line(
                check=check.name,
                level=finding.level.value,
                found=finding.found,
                remedy=finding.remedy,
                subject=finding.subject,
                unseen=finding.unseen,
            )


def report_of(lines: Iterable[Line]) -> Report:
    """Return the report of these findings."""
    findings = tuple(lines)
    levels = [line.level for line in findings]
    return Report(
        time=utc_time(),
        asd_edge=__version__,
        faults=levels.count(Level.FAULT.value),
        warnings=levels.count(Level.WARNING.value),
        findings=findings,
    )


def _within_its_limit(check: Check, device: Device) -> Iterator[Finding]:
    answers: Queue[Finding | None] = Queue()

    def look() -> None:
        try:
            for finding in check.look(device):
                answers.put(finding)
        except AsdEdgeError as error:
            answers.put(fault(f"{error.what}: {error.found}", error.remedy))
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            answers.put(fault(f"the check itself failed ({what})", "Report this text to who maintains asd-edge."))
        finally:
            answers.put(None)

    # What the kernel or a driver holds up is left behind in a thread that ends with the process.
    threading.Thread(target=look, name=f"doctor-{check.name}", daemon=True).start()
    deadline = monotonic() + check.limit_s
    while True:
        try:
            finding = answers.get(timeout=max(0.0, deadline - monotonic()))
        except Empty:
            yield fault(
                f"no answer within {check.limit_s:g} s",
                "Something below hangs: look at `dmesg`, and at what this check reads (docs/doctor.md).",
            )
            return
        if finding is None:
            return
        yield finding
