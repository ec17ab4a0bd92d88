"""One machine's thread: from its source to the scorer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from time import monotonic, time

from asd_edge.config import MachineTable
from asd_edge.daemon.alarms import AlarmBook
from asd_edge.daemon.listening.condition_watch import ConditionWatch
from asd_edge.daemon.listening.conditions import KnownConditions
from asd_edge.daemon.listening.hearing import Hearing, gone, silent
from asd_edge.daemon.listening.machine_events import MachineEvents
from asd_edge.daemon.ring import SoundRing
from asd_edge.daemon.scorer import Line, Scorer
from asd_edge.detector import Detector, Heard
from asd_edge.errors import AsdEdgeError, SourceError
from asd_edge.events import Event
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sinks.payloads import MachineReport, MachineState
from asd_edge.sources.observer import nothing
from asd_edge.sources.open import may_pause
from asd_edge.sources.pacing import ROUND_S
from asd_edge.sources.shared import SharedDevices

_log = logging.getLogger(__name__)

_NEARLY_REAL_TIME = 2.0  # speed up to which small blocks are worth their cost
_PILE_S = 0.25


class MachineThread:
    """Listens to one machine until its source ends, fails, or `stop` is called.

    A live source (a microphone, a FIFO, a folder) that fails is opened again until it is back (ladder.py).
    After an error that nobody foresaw a new detector goes on, for the old one may be in the middle of something.

    Args:
        machine: where its sound comes from and when it alarms.
        streams: what the bundle computes; shared by all machines.
        scorer: scores the sound of all machines.
        known: what its sound is compared with.
        shared: the microphones, each of which may be several machines'.
        publish: takes every event but alarms; called in the scorer's thread.
        alarms: takes those, and knows which alarm stands when a new detector begins.
        changed: called in this thread after `report` has changed.
        heard: keeps what was heard; called in the scorer's thread.
        ring: keeps the newest sound.
        beat: called in this thread at every block and at least every second of a wait.
    """

    def __init__(
        self,
        machine: MachineTable,
        streams: SegmentStreams,
        scorer: Scorer,
        known: KnownConditions,
        shared: SharedDevices,
        publish: Callable[[Event], None],
        alarms: AlarmBook,
        changed: Callable[[MachineThread], None],
        *,
        heard: Heard | None = None,
        ring: SoundRing | None = None,
        beat: Callable[[], None] = nothing,
    ) -> None:
        self.over = False
        """Whether nothing will be heard any more; True before the last call of `changed`."""
        self._machine = machine
        self._streams = streams
        self._scorer = scorer
        self._rate = streams.pipeline.front_end.sample_rate
        self._known = known
        self._hearing = Hearing(machine, rate=self._rate, shared=shared, state=known.folder, waiting=self._while_quiet)
        self.report = self._report("starting")
        self.events = MachineEvents(machine.id, publish, alarms, score_every_s=streams.pipeline.score_every_s)
        """What it says."""
        self._conditions = ConditionWatch(machine.id, known, self.events.expect, self.events.say)
        self._alarms = alarms
        self._changed = changed
        self._heard_by = heard
        self._ring = ring
        self._detector: Detector | None = None
        self._beat = beat
        self._stopping = threading.Event()
        # A thread that waits for a silent device must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"machine-{machine.id}", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self.events.announce()
        self._thread.start()

    def stop(self) -> None:
        """End the source; the thread follows soon."""
        self._stopping.set()
        self._hearing.close()

    def in_source(self) -> bool:
        """Say whether its thread is in the source now; any thread may ask."""
        return self._hearing.in_source

    def join(self, patience_s: float) -> None:
        """Wait a while for the thread after a stop: a device that does not answer is left behind."""
        self._thread.join(patience_s)

    def _run(self) -> None:
        try:
            self._hearing.begin()
            if self._hearing.live:
                self._listen_again_and_again()
            else:
                self._listen()
            last = self._report("ended")
        except Exception as error:
            last = self._failure(error)
        self.over = True
        self._set(last)

    def _listen_again_and_again(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
                if not self._hearing.renewing:
                    raise gone(self._machine.source)
                _log.warning("Machine %s: its microphone is opened afresh, which may mend it", self._machine.id)
            except Exception as error:
                self._take_failure(error)
            self._pause(self._hearing.pause_s)

    def _take_failure(self, error: Exception) -> None:
        self._hearing.fail()
        foreseen = isinstance(error, AsdEdgeError)
        if not foreseen:
            self._detector = None
        passing = isinstance(error, SourceError) and not self._hearing.given_up
        said = self.report
        report = self._failure(error, "reopening" if passing and said.state != "failed" else "failed")
        if (report.state, report.error) != (said.state, said.error):  # said once, not at every attempt
            self._set(report)
            if not foreseen:
                self.events.announce()

    def _pause(self, seconds: float) -> None:
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0.0 and not self._stopping.wait(min(left, ROUND_S)):
            self._while_quiet()

    def _while_quiet(self) -> None:
        """Beat, and say it when there has been no sound for too long; called at least every second without sound."""
        self._beat()
        if self._hearing.quiet and self.report.state != "failed":
            known = self.report.error
            lost = silent(self._machine.source)
            _log.error("Machine %s: %s", self._machine.id, lost if known is None else "its source is not heard")
            self._set(self._report("failed", known or lost.line))
        if self.report.state in ("reopening", "failed"):
            self._miss_sound()

    def _listen(self) -> None:
        detector = self._detector = self._detector or self._new_detector()
        line = Line(self._scorer, detector, self.events.say, self._beat)
        try:
            for block in self._hearing.blocks(self._block_s):
                if self._stopping.is_set():
                    return
                self._beat()
                if self.report.state != "running":
                    self._set(self._report("running"))
                    wait_s = self._streams.pipeline.first_score_samples / self._rate
                    where = self._machine.id, self._machine.source
                    _log.info("Machine %s: listening to %s; first score after %.1f s of sound", *where, wait_s)
                self._note_microphone()
                report = self._conditions.look(detector, block.time, self.report)
                if report is not self.report:
                    self._set(report)
                if self._ring is not None:
                    self._ring.push(block)
                line.push(block)
            line.finish()
        except AsdEdgeError:
            line.drain()  # what was heard before the source failed
            raise
        except Exception as error:
            line.kill(error)  # the old detector says nothing any more
            raise
        finally:
            if self._ring is not None:  # what was heard is not "the last seconds" any more
                self._ring.clear()

    @property
    def _block_s(self) -> float:
        """Seconds of a block: a hop where sound comes in real time, so that a score is not late; else a pile."""
        front_end = self._streams.pipeline.front_end
        paced = 0.0 < self._machine.speed <= _NEARLY_REAL_TIME and not may_pause(self._machine.source)
        return front_end.hop / front_end.sample_rate if paced else _PILE_S

    def _miss_sound(self) -> None:
        """Let the detector know, in the scorer's thread, that the source has failed and stays away."""
        detector, now = self._detector, time()
        due = self._hearing.due or round(monotonic() * self._rate)  # before any sound: a clock that runs is enough

        def tell() -> None:
            if detector is not None and detector is self._detector and not self._stopping.is_set():
                for event in detector.unheard(due, now):
                    self.events.say(event)

        self._scorer.between(tell)

    def _new_detector(self) -> Detector:
        decision = DecisionSpec(**self._machine.decision.model_dump()).at_least(self._hearing.known_within_s)
        known = self._known.load()
        self.events.expect(self._known.thresholds)
        alarm = self._alarms.standing(self._machine.id)
        return Detector(self._machine.id, self._streams, known, decision, self._heard_by, alarm)

    def _note_microphone(self) -> None:
        """Take over how the microphone does; that is announced when something is wrong that was not before."""
        said, microphone = self.report.microphone, self._hearing.microphone
        if said is microphone or said is None or microphone is None:
            return
        report = replace(self.report, microphone=microphone)
        if (said.faults, said.warnings) == (microphone.faults, microphone.warnings):
            self.report = report
            return
        _log.warning("Machine %s: %s", self._machine.id, report.trouble or "the microphone is in order again")
        self._set(report)

    def _failure(self, error: Exception, state: MachineState = "failed") -> MachineReport:
        if self._stopping.is_set():  # a source torn from under its reader fails; that is no news
            return self._report("ended")
        text = _text(error)
        level = logging.WARNING if state == "reopening" else logging.ERROR
        if text != self.report.error:
            traceback = None if isinstance(error, AsdEdgeError) else error
            _log.log(level, "Machine %s: %s", self._machine.id, error, exc_info=traceback)
        elif state != self.report.state:
            _log.log(level, "Machine %s: its source is not heard", self._machine.id)
        return self._report(state, text)

    def _report(self, state: MachineState, error: str | None = None) -> MachineReport:
        return MachineReport(self._machine.id, state, error, microphone=self._hearing.microphone)

    def _set(self, report: MachineReport) -> None:
        self.report = report
        self._changed(self)


def _text(error: Exception) -> str:
    return error.line if isinstance(error, AsdEdgeError) else f"{type(error).__name__}: {error}"
