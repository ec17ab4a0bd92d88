"""What is said of one machine, until another detector takes its place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from asd_edge.daemon.alarms import AlarmBook
from asd_edge.daemon.listening.drift import DriftWatch
from asd_edge.enrollment.thresholds import KnownThreshold
from asd_edge.events import AlarmChange, Event, WindowScore

_log = logging.getLogger(__name__)


class MachineEvents:
    """Hands on the events of a machine; any thread may call.

    After `silence` nothing comes out any more. Sound of a machine that another device file has removed or replaced may
    still wait for the scorer then: an alarm that it raised would be nobody's, and stand for ever.

    Args:
        machine: its id.
        publish: takes every event but alarms; returns at once.
        alarms: takes those.
        score_every_s: from one window to the next.
    """

    def __init__(
        self, machine: str, publish: Callable[[Event], None], alarms: AlarmBook, *, score_every_s: float
    ) -> None:
        self.window: WindowScore | None = None
        """The newest."""
        self._machine, self._publish, self._alarms = machine, publish, alarms
        self._drift = DriftWatch(score_every_s)
        self._silent = False
        self._lock = threading.Lock()

    def silence(self) -> None:
        """Say nothing any more, from when this returns."""
        with self._lock:
            self._silent = True

    def say(self, event: Event) -> None:
        """Hand on an event, and a suspicion of drift that it gives rise to."""
        with self._lock:
            if self._silent:
                return
            if isinstance(event, AlarmChange):
                self._alarms.take(event)
                return
            self._publish(event)
            if isinstance(event, WindowScore):
                self.window = event
                self._watch_drift(event)

    def announce(self) -> None:
        """Say how the alarm stands: a detector has just started."""
        with self._lock:
            if not self._silent:
                self._alarms.announce(self._machine)

    def expect(self, known: Iterable[KnownThreshold]) -> None:
        """Take the conditions whose drift is watched, as they are from now on."""
        with self._lock:
            self._drift.expect(known)

    def _watch_drift(self, window: WindowScore) -> None:
        drift = self._drift.take(window)
        if drift is None:
            return
        self._publish(drift)
        means = (drift.condition, drift.mean, drift.expected)
        words = "Machine %s: %s has drifted (mean score %.4f, was %.4f); re-enroll?"
        _log.warning(words, drift.machine, *means, extra={"asd_machine": drift.machine, "asd_event": "drift"})
