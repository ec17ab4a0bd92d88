"""A machine's conditions while it is listened to: whether others are on the disk, and who is changing them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from time import monotonic

from asd_edge.daemon.listening.conditions import KnownConditions
from asd_edge.detector import Detector
from asd_edge.enrollment.thresholds import KnownThreshold
from asd_edge.errors import AsdEdgeError
from asd_edge.events import ConditionsChanged
from asd_edge.sinks.payloads import MachineReport

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.25  # at most: a stat() and a look at the state's lock
_MOST_NAMES = 100  # of conditions in one event


class ConditionWatch:
    """Lets a detector go on with the conditions that somebody has enrolled. Its machine's thread calls.

    Args:
        machine: its id.
        known: what its sound is compared with.
        expect: takes the thresholds that hold from now on.
        publish: takes the event that says so.
    """

    def __init__(
        self,
        machine: str,
        known: KnownConditions,
        expect: Callable[[Iterable[KnownThreshold]], None],
        publish: Callable[[ConditionsChanged], None],
    ) -> None:
        self._machine = machine
        self._known = known
        self._expect = expect
        self._publish = publish
        self._looked = monotonic()

    def look(self, detector: Detector, time: float, report: MachineReport) -> MachineReport:
        """Give the detector what has changed; return the machine's report as it is now, the same if nothing has.

        Args:
            detector: of the machine.
            time: UTC seconds of the newest sound.
            report: of the machine.
        """
        if monotonic() - self._looked < _LOOK_EVERY_S:
            return report
        self._looked = monotonic()
        enrolling = self._known.enrolling()
        if enrolling != report.enrolling:
            report = replace(report, enrolling=enrolling)
        if not self._known.changed():
            return report
        try:
            detector.conditions = known = self._known.load()
        except AsdEdgeError as error:  # what was known before is better than nothing
            _log.error("Machine %s goes on with the conditions it had. %s", self._machine, error)
            return replace(report, error=str(error))
        self._expect(self._known.thresholds)
        names = () if known is None else tuple(condition.name for condition in known.conditions)
        event = self._event(time, names)
        said = (event.action, event.subject, event.author, event.revision)
        _log.info("Machine %s: %s %s by %s (revision %d) holds from the next window on", self._machine, *said)
        self._publish(event)
        return report if report.error is None else replace(report, error=None)

    def _event(self, time: float, names: tuple[str, ...]) -> ConditionsChanged:
        change = self._known.change
        what = ("none", "", "") if change is None else (change.action, change.subject, change.author)
        return ConditionsChanged(self._machine, time, self._known.revision, *what, names[:_MOST_NAMES])
