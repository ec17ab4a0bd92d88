"""The daemon: a thread a machine, one that scores, one a destination, and a main thread that watches over them."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge import __version__
from asd_edge.config import DeviceConfig
from asd_edge.control import ControlReply, ControlRequest
from asd_edge.daemon.alarms import AlarmBook
from asd_edge.daemon.control import ControlServer
from asd_edge.daemon.destinations import Destinations
from asd_edge.daemon.engines import Engines
from asd_edge.daemon.evidence import Evidence
from asd_edge.daemon.keeping import Keeping
from asd_edge.daemon.listening.machine import MachineThread
from asd_edge.daemon.listening.machines import Machines, Works
from asd_edge.daemon.notify import notify
from asd_edge.daemon.prometheus import Prometheus
from asd_edge.daemon.reload import DeviceFile, Reload, ReloadOrder
from asd_edge.daemon.remote import remote_enrollment
from asd_edge.daemon.reporting import Reporting
from asd_edge.daemon.scorer import Scorer
from asd_edge.daemon.signals import noted
from asd_edge.daemon.watchdog import Watchdog
from asd_edge.errors import SinkError, StateError
from asd_edge.events import Event
from asd_edge.pipeline import SegmentStreams
from asd_edge.serving.served import served_bundle
from asd_edge.serving.tensorrt import installed_tensorrt
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.payloads import DeviceReport, EngineReport
from asd_edge.sinks.topics import Topics

_log = logging.getLogger(__name__)

_HEAD_START_S = 0.5  # for the brokers, so that what is heard first goes out live
_STOP_S = 1.2  # of all parts together: with what Python needs to end, the process is gone within two seconds
_FAREWELL_S = 0.5  # of that for the destinations, which write down and deliver what the other parts said last
_DELIVERY_S = 5.0  # when sources have ended by themselves, and nobody waits for us

# What wakes the main thread.
_Note = MachineThread | EngineReport | ReloadOrder | AlarmBook | ControlServer | StateError | signal.Signals
_End = signal.Signals | Literal["every source has ended", "its engine hangs", "another daemon uses its state folder"]


class Daemon:
    """Everything `asd-edge run` runs.

    Args:
        config: the device.
        path: the file it was read from.

    Raises:
        AsdEdgeError: the bundle or a file named in the configuration cannot be used, or the bundle is not trusted.
    """

    def __init__(self, config: DeviceConfig, path: Path) -> None:
        began = monotonic()
        self._notes: SimpleQueue[_Note] = SimpleQueue()
        self._watchdog = Watchdog()
        heart = self._watchdog.heart
        bundle = served_bundle(config)
        self._scorer = Scorer(heart)
        self._engines = Engines(config, bundle, self._scorer, self._notes.put, installed_tensorrt(), heart)
        streams = SegmentStreams(self._engines.pipeline)
        self._keeping = Keeping(config, bundle, streams.pipeline, heart)
        self._control = ControlServer(config.device.state_dir, self._answer, heart, self._mended)
        self._remote = remote_enrollment(config, path, heart)
        self._destinations = Destinations(config, self._describe, self._watchdog, self._subscribe, self._tell_alarms)
        self._alarms = AlarmBook(
            config.device.state_dir / "alarms.json", self._publish, lambda: self._notes.put(self._alarms), heart
        )
        self._evidence = Evidence(config, bundle.bundle_id, streams.pipeline, self._keeping.ring, heart)
        works = Works(
            bundle,
            streams,
            self._scorer,
            self._keeping,
            self._watchdog,
            self._alarms,
            self._publish,
            self._notes.put,
        )
        self._machines = Machines(config, works)
        self._prometheus = Prometheus(config, lambda: self._reporting.status, heart)
        parts = (self._destinations, self._machines, self._evidence, self._prometheus)
        file, announce = DeviceFile.of(config, path), self._destinations.announce
        self._reload = Reload(file, parts, announce, self._look, self._notes.put)
        self._reporting = Reporting(
            self._reload,
            bundle,
            self._engines,
            self._machines,
            self._destinations,
            self._watchdog,
            self._alarms,
            self._evidence,
            self._prometheus,
            self._control,
            began,
        )
        self._told = ""

    def run(self) -> int:
        """Run until every source has ended or a signal asks to stop; return the exit code.

        A machine that cannot be heard, or whose state is damaged, does not stop the others.

        0: stopped by SIGTERM or SIGINT, or every source ended and the brokers have confirmed every message.
        1: a source failed, or sources ended and a broker never confirmed what they gave.

        When an engine hangs the process ends here, with 1: see `_stop`.

        Raises:
            StateError: another daemon uses the state folder.
        """
        file = self._reload.file
        _log.info("asd-edge %s begins as device %s, with %s", __version__, file.config.device.id, file.path)
        self._control.start()
        with noted(self._notes.put):
            if self._remote is not None:
                self._remote.start()
            if not self._destinations.start(_HEAD_START_S):
                _log.warning("Listening begins without the broker; what happens meanwhile waits on the disk")
            self._keeping.start()
            self._alarms.start()
            self._evidence.start()
            self._scorer.start()
            self._machines.start()
            self._prometheus.start()
            notify("READY=1")
            self._engines.start()
            end = self._wait()
        _log.info("asd-edge ends: %s", f"stopped by {end.name}" if isinstance(end, signal.Signals) else end)
        notify("STOPPING=1")
        return self._stop(end)

    # --- the main thread's rounds ---

    def _wait(self) -> _End:
        while not self._machines.over:
            if self._engines.hangs(self._scorer.run):
                return "its engine hangs"
            self._look()
            self._tell()
            try:
                note = self._notes.get(timeout=self._watchdog.round_s)
            except Empty:  # a signal that comes just before a wait begins is handled after it: none may be endless
                continue
            if note == signal.SIGHUP:
                self._reload.obey(ReloadOrder())
            elif isinstance(note, signal.Signals):
                return note
            elif isinstance(note, ReloadOrder):
                self._reload.obey(note)
            elif isinstance(note, StateError):
                _log.critical("%s", note)
                return "another daemon uses its state folder"
            elif isinstance(note, ControlServer):
                self._destinations.announce("commands are taken")
            elif isinstance(note, EngineReport):
                self._destinations.announce(f"{note.name} serves")
            elif isinstance(note, AlarmBook):
                self._destinations.announce("alarms.json has failed" if note.fault else "alarms.json is written again")
            else:
                self._destinations.announce(f"{note.report.machine} {note.report.summary}")
        return "every source has ended"

    def _look(self) -> None:
        if self._watchdog.look():
            self._destinations.announce("a thread is stuck" if self._watchdog.stuck else "no thread is stuck")

    def _tell(self) -> None:
        line = self._reporting.line
        if line != self._told:
            self._told = line
            notify(f"STATUS={line}")

    def _stop(self, end: _End) -> int:
        deadline = monotonic() + _STOP_S

        def share(most_s: float, kept_s: float = _FAREWELL_S) -> float:
            return max(0.05, min(most_s, deadline - kept_s - monotonic()))

        if self._remote is not None:
            self._remote.stop(share(0.3))
        self._engines.stop(share(0.2))
        self._machines.stop(share(0.4))
        self._scorer.stop(share(0.2))
        self._alarms.stop(share(0.3))
        self._control.stop()
        self._prometheus.stop()
        self._keeping.stop(share(0.2))
        self._evidence.stop(share(0.2))
        if isinstance(end, signal.Signals):
            self._destinations.stop(f"stopped by {end.name}", max(_FAREWELL_S, share(_STOP_S, kept_s=0.0)))
            return 0
        unconfirmed = self._destinations.stop(end, _DELIVERY_S)
        if end == "its engine hangs":
            logging.shutdown()
            os._exit(1)  # freeing what a GPU holds waits for the GPU, and Python's end would do that
        if unconfirmed:
            _log.error("%s", _undelivered(unconfirmed))
        failed = any(report.state == "failed" for report in self._machines.reports)
        return 1 if failed or unconfirmed or end != "every source has ended" else 0

    # --- what the parts ask for, in their threads ---

    def _publish(self, event: Event) -> None:
        self._destinations.publish(event)
        self._evidence.heard(event)

    def _mended(self, error: StateError | None) -> None:
        self._notes.put(self._control if error is None else error)

    def _tell_alarms(self, publish: Callable[[Event], None]) -> None:
        for report in self._machines.reports:
            self._alarms.announce(report.machine, publish)

    def _describe(self) -> DeviceReport:
        return self._reporting.device

    def _subscribe(self, sink: MqttSink, topics: Topics) -> None:
        if self._remote is not None:
            self._remote.listen_to(sink, topics)

    def _answer(self, request: ControlRequest) -> tuple[ControlReply, NDArray[np.float32]]:
        """Fulfil the request of a command; raises an AsdEdgeError where that cannot be done."""
        nothing = np.zeros(0, np.float32)
        if request.request == "serving":
            return ControlReply(serving=self._reporting.serving), nothing
        if request.request == "status":
            return ControlReply(status=self._reporting.status), nothing
        if request.request == "reload":
            self._reload.order()
            return ControlReply(), nothing
        return self._keeping.answer(request)


def _undelivered(events: int) -> SinkError:
    return SinkError(
        "Scores and alarms of the finished sources are not delivered yet; they wait on the disk",
        found=f"{events} events that no broker has confirmed",
        expected="every event confirmed",
        remedy="Find out from `asd-edge run --check` what keeps the broker from it; the next run delivers them.",
    )
