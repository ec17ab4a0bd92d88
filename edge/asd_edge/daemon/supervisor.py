"""The daemon: a thread a machine, one that scores, the sink, and a main thread that waits for an end or a signal."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from types import FrameType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge import __version__
from asd_edge.config import DeviceConfig
from asd_edge.control import ControlReply, ControlRequest, ServedMachine, Serving
from asd_edge.daemon.alarms import AlarmBook
from asd_edge.daemon.conditions import KnownConditions
from asd_edge.daemon.control import ControlServer
from asd_edge.daemon.engines import Engines
from asd_edge.daemon.evidence import Evidence
from asd_edge.daemon.keeping import Keeping
from asd_edge.daemon.machine import MachineThread
from asd_edge.daemon.notify import notify
from asd_edge.daemon.remote import remote_enrollment
from asd_edge.daemon.scorer import Scorer
from asd_edge.errors import SinkError
from asd_edge.events import Event
from asd_edge.pipeline import SegmentStreams
from asd_edge.serving.served import served_bundle
from asd_edge.serving.tensorrt import installed_tensorrt
from asd_edge.sinks.home_assistant import discovery_messages
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import DeviceReport, EngineReport, Message
from asd_edge.sinks.topics import Topics
from asd_edge.sources.shared import SharedDevices

_log = logging.getLogger(__name__)

_BROKER_HEAD_START_S = 0.5  # what happens before the broker has answered reaches it as history
_STOP_PATIENCE_S = 3.0
_WAKE_S = 1.0
_DELIVERY_PATIENCE_S = 5.0

_Note = MachineThread | EngineReport | AlarmBook | signal.Signals  # what wakes the main thread


class Daemon:
    """Everything `asd-edge run` runs.

    Args:
        config: the device.
        path: the file it was read from.

    Raises:
        AsdEdgeError: the bundle or a file named in the configuration cannot be used, or the bundle is not trusted.
    """

    def __init__(self, config: DeviceConfig, path: Path) -> None:
        self._config = config
        self._notes: SimpleQueue[_Note] = SimpleQueue()
        bundle = served_bundle(config)
        self._scorer = Scorer()
        self._engines = Engines(config, bundle, self._scorer, self._notes.put, installed_tensorrt())
        streams = SegmentStreams(self._engines.pipeline)
        self._bundle = bundle
        self._sink = MqttSink(
            config.mqtt,
            Topics(config.mqtt.prefix, config.device.id),
            Outbox(config.device.state_dir / "outbox" / "mqtt.db", config.outbox),
            config.outbox.history_kib_s,
            self._describe,
            greetings=self._greetings,
        )
        file = config.device.state_dir / "alarms.json"
        self._alarms = AlarmBook(file, self._publish, lambda: self._notes.put(self._alarms))
        self._keeping = Keeping(config, bundle, streams.pipeline)
        self._evidence = Evidence(config, bundle.bundle_id, streams.pipeline, self._keeping.ring)
        self._control = ControlServer(config.device.state_dir, self._answer)
        self._remote = remote_enrollment(config, path, self._sink)
        shared = SharedDevices(config.machines)
        self._machines = [
            MachineThread(
                machine,
                streams,
                self._scorer,
                KnownConditions(bundle, machine, config.device.state_dir),
                shared,
                self._publish,
                self._alarms,
                self._notes.put,
                heard=self._keeping.heard(machine.id),
                ring=self._keeping.ring(machine.id),
            )
            for machine in config.machines
        ]

    def run(self) -> int:
        """Run until every source has ended or a signal asks to stop; return the exit code.

        A machine that cannot be heard, or whose state is damaged, does not stop the others.

        0: stopped by SIGTERM or SIGINT, or every source ended and the broker has confirmed every message.
        1: a source failed, or sources ended and the broker never confirmed what they gave.

        When an engine hangs the process ends here, with 1: see `_stop`.

        Raises:
            StateError: another daemon uses the state folder.
        """
        self._control.start()
        with self._signals():
            if self._remote is not None:
                self._remote.start()
            self._sink.start()
            if not self._sink.wait_open(_BROKER_HEAD_START_S):
                _log.warning("Listening begins without the broker; what happens is kept for it")
            self._keeping.start()
            self._alarms.start()
            self._alarms.retain([machine.report.machine for machine in self._machines])
            self._evidence.start()
            self._scorer.start()
            for machine in self._machines:
                machine.start()
            notify("READY=1")
            self._engines.start()
            end = self._wait()
        notify("STOPPING=1")
        return self._stop(end)

    def _wait(self) -> signal.Signals | Literal["every source has ended", "its engine hangs"]:
        while not all(machine.over for machine in self._machines):
            if self._engines.hangs(self._scorer.run):
                return "its engine hangs"
            try:
                note = self._notes.get(timeout=_WAKE_S)
            except Empty:  # a signal that comes just before a wait begins is handled after it: none may be endless
                continue
            if isinstance(note, signal.Signals):
                return note
            if isinstance(note, EngineReport):
                self._sink.announce(f"{note.name} serves")
                continue
            if isinstance(note, AlarmBook):
                self._sink.announce("alarms.json has failed" if note.fault else "alarms.json is written again")
                continue
            report = note.report
            self._sink.announce(f"{report.machine} {report.summary}")
        return "every source has ended"

    def _stop(self, end: signal.Signals | Literal["every source has ended", "its engine hangs"]) -> int:
        if self._remote is not None:
            self._remote.stop()
        self._engines.stop(_STOP_PATIENCE_S)
        for machine in self._machines:
            machine.stop()
        deadline = monotonic() + _STOP_PATIENCE_S
        for machine in self._machines:
            machine.join(max(0.0, deadline - monotonic()))
        self._scorer.stop(max(0.0, deadline - monotonic()))
        self._alarms.stop(max(0.1, deadline - monotonic()))
        self._control.stop()
        self._keeping.stop(_STOP_PATIENCE_S)
        self._evidence.stop(_STOP_PATIENCE_S)
        if isinstance(end, signal.Signals):
            self._sink.stop(f"stopped by {end.name}", patience_s=_STOP_PATIENCE_S)
            return 0
        unconfirmed = self._sink.stop(end, patience_s=_DELIVERY_PATIENCE_S)
        if end == "its engine hangs":
            logging.shutdown()
            os._exit(1)  # freeing what a GPU holds waits for the GPU, and Python's end would do that
        if unconfirmed:
            _log.error("%s", _lost(unconfirmed))
        failed = any(machine.report.state == "failed" for machine in self._machines)
        return 1 if failed or unconfirmed else 0

    def _publish(self, event: Event) -> None:
        self._sink.publish(event)
        self._evidence.heard(event)

    def _answer(self, request: ControlRequest) -> tuple[ControlReply, NDArray[np.float32]]:
        """Fulfil the request of a command; raises an AsdEdgeError where that cannot be done."""
        if request.request != "serving":
            return self._keeping.answer(request)
        reports = tuple(machine.report for machine in self._machines)
        serving = Serving(
            name=self._bundle.manifest.name,
            bundle_id=self._bundle.bundle_id,
            embedding_id=self._bundle.embedding_id,
            precision=self._bundle.precision,
            engine=self._engines.report.name,
            machines=tuple(ServedMachine(machine=r.machine, health=r.health, error=r.trouble) for r in reports),
        )
        return ControlReply(serving=serving), np.zeros(0, np.float32)

    def _greetings(self) -> list[Message]:
        mqtt, machines = self._config.mqtt, [machine.id for machine in self._config.machines]
        if mqtt.home_assistant is None:
            return []
        topics = Topics(mqtt.prefix, self._config.device.id)
        return discovery_messages(topics, mqtt.home_assistant, machines, __version__)

    def _describe(self) -> DeviceReport:
        return DeviceReport(
            __version__,
            self._bundle.bundle_id,
            self._engines.report,
            tuple(machine.report for machine in self._machines),
            self._troubles(),
        )

    def _troubles(self) -> tuple[str, ...]:
        """Say what needs a person, beside what machines and sinks say themselves."""
        alarms = None if self._alarms.fault is None else self._alarms.fault.what
        found = {"alarms": alarms, "evidence": self._evidence.report.fault}
        return tuple(f"{where}: {what}" for where, what in found.items() if what is not None)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn SIGTERM and SIGINT into notes. Afterwards they do what they did before: a second one kills."""

        def note(number: int, _frame: FrameType | None) -> None:
            self._notes.put(signal.Signals(number))  # SimpleQueue.put is safe inside a signal handler

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _lost(messages: int) -> SinkError:
    return SinkError(
        "Scores and alarms of the finished sources are lost",
        found=f"{messages} messages that the broker has not confirmed",
        expected="every message confirmed",
        remedy="Find out from `asd-edge run --check` what keeps the broker from it, then run this again.",
    )
