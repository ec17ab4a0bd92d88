"""One machine's thread: its source through its detector to the sink."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

from asd_edge.config import MachineTable
from asd_edge.daemon.conditions import KnownConditions
from asd_edge.detector import Detector
from asd_edge.errors import AsdEdgeError
from asd_edge.events import Event
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sinks.payloads import MachineReport, MachineState
from asd_edge.sources.block import Source
from asd_edge.sources.open import open_source

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0  # how often, at most, the site state is looked at


class MachineThread:
    """Listens to one machine until its source ends, fails, or `stop` is called.

    Args:
        machine: where its sound comes from and when it alarms.
        pipeline: what the bundle computes; shared by all machines.
        known: what its sound is compared with.
        publish: takes every event; called in this thread.
        changed: called in this thread after `report` has changed.
    """

    def __init__(
        self,
        machine: MachineTable,
        pipeline: Pipeline,
        known: KnownConditions,
        publish: Callable[[Event], None],
        changed: Callable[[MachineThread], None],
    ) -> None:
        self.report = MachineReport(machine.id, "starting")
        self._machine = machine
        self._known = known
        self._publish = publish
        self._changed = changed
        self._detector = Detector(machine.id, pipeline, known.load(), DecisionSpec(**machine.decision.model_dump()))
        self._rate = pipeline.front_end.sample_rate
        self._source: Source | None = None
        self._stopping = threading.Event()
        # A thread that waits for a silent device must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"machine-{machine.id}", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """End the source and wait a while for the thread: a device that does not answer is left behind."""
        self._stopping.set()
        if self._source is not None:
            self._source.close()
        self._thread.join(patience_s)

    def _run(self) -> None:
        try:
            self._listen()
            self._set("ended")
        except AsdEdgeError as error:
            self._fail(error)
        except Exception as error:
            _log.exception("Machine %s", self._machine.id)
            self._fail(error)

    def _listen(self) -> None:
        source = open_source(
            self._machine.source,
            rate=self._rate,
            channel=self._machine.channel,
            source_rate=self._machine.source_rate,
            speed=self._machine.speed,
        )
        self._source = source
        try:
            self._set("running")
            looked = monotonic()
            for block in source.blocks():
                if self._stopping.is_set():
                    return
                if monotonic() - looked >= _LOOK_EVERY_S:
                    looked = monotonic()
                    self._look_at_conditions()
                for event in self._detector.process(block):
                    self._publish(event)
            for event in self._detector.flush():
                self._publish(event)
        finally:
            source.close()

    def _look_at_conditions(self) -> None:
        if not self._known.changed():
            return
        try:
            self._detector.conditions = self._known.load()
        except AsdEdgeError as error:  # what was known before is better than nothing
            _log.error("Machine %s goes on with the conditions it had. %s", self._machine.id, error)
        else:
            _log.info("Machine %s: changed conditions hold from the next window on", self._machine.id)

    def _fail(self, error: Exception) -> None:
        if self._stopping.is_set():  # a source torn from under its reader fails; that is no news
            self._set("ended")
            return
        _log.error("Machine %s: %s", self._machine.id, error)
        self._set("failed", str(error))

    def _set(self, state: MachineState, error: str | None = None) -> None:
        self.report = MachineReport(self._machine.id, state, error)
        self._changed(self)
