"""The alarm of every machine as it stands, through restarts, and the thread that tells of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from time import time

from asd_edge.daemon.alarm_file import AlarmFile
from asd_edge.errors import StateError
from asd_edge.events import AlarmChange, alarm_text
from asd_edge.heart import Heart

_log = logging.getLogger(__name__)

_RETRY_S = 5.0  # until a disk that took nothing is tried again

_Alarms = dict[str, AlarmChange]
_Publish = Callable[[AlarmChange], None]


class AlarmBook:
    """Remembers the last alarm of each machine; publishes a change when it is on the disk.

    Killed between the two, the daemon publishes at its next start how the alarm stands now: no end gets lost. The
    writing is a thread of its own, so that a disk that stalls keeps neither sound nor scores waiting. A disk that takes
    nothing keeps no alarm from being published.

    Args:
        path: of the file.
        publish: takes each change; called in that thread.
        changed: called, in that thread or the one that starts it, after `fault` has changed.
        heart: gives that thread's sign of life.
    """

    def __init__(
        self,
        path: Path,
        publish: _Publish,
        changed: Callable[[], None] = lambda: None,
        heart: Callable[[str], Heart] = Heart,
    ) -> None:
        self._file = AlarmFile(path)
        self._publish = publish
        self._heart = heart("alarms")
        self._changed = changed
        self._alarms: _Alarms = {}  # the last of each machine; in the inbox are copies of it
        self._lock = threading.Lock()  # of the two together: what is told last is what was entered last
        self._inbox: SimpleQueue[tuple[AlarmChange, _Alarms, _Publish] | None] = SimpleQueue()
        self._saved: _Alarms = {}
        self._wanted: _Alarms = {}
        self._lost: StateError | None = None
        self._unsaved: StateError | None = None
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)

    @property
    def fault(self) -> StateError | None:
        """What is wrong with the file: it takes nothing now, or what it held was lost at the start; None: nothing."""
        return self._unsaved or self._lost

    def start(self) -> None:
        """Read how alarms stood; begin to publish. Nobody else may use the file from now on."""
        try:
            self._alarms = self._file.load()
        except StateError as error:
            _log.error("%s", error)
            self._lost = error
            self._changed()
        self._saved = self._wanted = dict(self._alarms)
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Write and publish the rest, then end; return after `patience_s` at the latest."""
        self._inbox.put(None)
        self._thread.join(patience_s)

    def standing(self, machine: str) -> AlarmChange | None:
        """Return the alarm of a machine that stands; None when none does."""
        with self._lock:
            alarm = self._alarms.get(machine)
        return alarm if alarm is not None and alarm.active else None

    def take(self, change: AlarmChange) -> None:
        """Take a change from any thread; return at once."""
        with self._lock:
            self._alarms[change.machine] = change
            self._inbox.put((change, dict(self._alarms), self._publish))

    def announce(self, machine: str, publish: _Publish | None = None) -> None:
        """Publish a machine's alarm as it stands: a detector of it has just started.

        With `publish` it is for somebody who knows of no alarm yet: who takes it in the place of all others.
        """
        with self._lock:
            none = AlarmChange(machine, 0.0, active=False)
            alarm = replace(self._alarms.get(machine, none), time=time(), cause="start")
            self._inbox.put((alarm, dict(self._alarms), publish or self._publish))

    def retain(self, machines: Collection[str]) -> None:
        """End the alarms of all other machines: they are not listened to any more.

        Of such an end nobody will say again how it stands; so it is said at the next call too, usually the next start,
        and forgotten then.
        """
        with self._lock:
            for machine in sorted(self._alarms.keys() - set(machines)):
                alarm = self._alarms.pop(machine)
                ended = replace(alarm, time=time(), active=False, suppressed=None, cause="removed")
                if alarm.active:
                    self._alarms[machine] = ended
                self._inbox.put((ended, dict(self._alarms), self._publish))

    def _run(self) -> None:
        with self._heart:
            self._work()

    def _work(self) -> None:
        going = True
        while going:
            self._heart.beat()
            try:
                told = self._inbox.get(timeout=_RETRY_S)
            except Empty:
                self._save()
                continue
            if told is None:
                going = False
            else:
                change, self._wanted, publish = told
                self._save()
                if publish == self._publish:
                    _log_change(change)
                self._tell(change, publish)

    def _save(self) -> None:
        if self._wanted == self._saved:
            return
        before, self._unsaved = self._unsaved, None
        try:
            self._file.save(self._wanted)
            self._saved = self._wanted
        except StateError as error:
            self._unsaved = error
        if str(before) != str(self._unsaved):  # said once, not at every attempt
            if self._unsaved is not None:
                _log.error("%s", self._unsaved)
            self._changed()

    def _tell(self, change: AlarmChange, publish: _Publish) -> None:
        try:
            publish(change)
        except Exception:  # one bad message must not keep the next from being told
            _log.exception("An alarm of machine %s is not published", change.machine)


def _log_change(change: AlarmChange) -> None:
    if change.active or change.cause != "start":
        said = (alarm_text(change), change.cause, change.condition, change.score, change.threshold)
        fields = {"asd_machine": change.machine, "asd_event": "alarm"}
        words = "Machine %s: %s (cause %s, condition %s, score %.3f, threshold %.3f)"
        _log.info(words, change.machine, *said, extra=fields)
