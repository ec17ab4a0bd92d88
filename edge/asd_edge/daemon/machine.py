"""One machine's thread: from its source to the scorer."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic, time

from asd_edge.config import MachineTable
from asd_edge.daemon.alarms import AlarmBook
from asd_edge.daemon.conditions import KnownConditions
from asd_edge.daemon.drift import DriftWatch
from asd_edge.daemon.ring import SoundRing
from asd_edge.daemon.scorer import Line, Scorer
from asd_edge.detector import Detector, Heard
from asd_edge.errors import AsdEdgeError, SourceError
from asd_edge.events import AlarmChange, ConditionsChanged, Event, WindowScore
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sinks.payloads import MachineReport
from asd_edge.sources.block import Block, Source
from asd_edge.sources.open import is_live, open_machine
from asd_edge.sources.shared import SharedDevices

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.25  # how often, at most, the site state is looked at: a stat() and a look at its lock
_NEARLY_REAL_TIME = 2.0  # speed up to which small blocks are worth their cost
_PILE_S = 0.25
_MOST_NAMES = 100  # of conditions in one event
_LONGEST_PAUSE_S = 30.0  # between two attempts to hear a live source again


class MachineThread:
    """Listens to one machine until its source ends, fails, or `stop` is called.

    A live source (a microphone, a FIFO) that fails is opened again until it is back: a cable may be plugged in again.
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
    ) -> None:
        self.report = MachineReport(machine.id, "starting")
        self.over = False
        """Whether nothing will be heard any more; True before the last call of `changed`."""
        self._machine = machine
        self._streams = streams
        self._scorer = scorer
        self._rate = streams.pipeline.front_end.sample_rate
        self._known = known
        self._drift = DriftWatch(streams.pipeline.score_every_s)
        self._shared = shared
        self._publish = publish
        self._alarms = alarms
        self._changed = changed
        self._heard_by = heard
        self._ring = ring
        self._detector: Detector | None = None
        self._source: Source | None = None
        self._heard = 0  # index of the next sample, through all openings of the source
        self._heard_at = 0.0  # monotonic
        self._pauses = _pauses()
        self._stopping = threading.Event()
        # A thread that waits for a silent device must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"machine-{machine.id}", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._alarms.announce(self._machine.id)
        self._thread.start()

    def stop(self) -> None:
        """End the source; the thread follows soon."""
        self._stopping.set()
        if self._source is not None:
            self._source.close()

    def join(self, patience_s: float) -> None:
        """Wait a while for the thread after a stop: a device that does not answer is left behind."""
        self._thread.join(patience_s)

    def _run(self) -> None:
        try:
            if is_live(self._machine.source):
                self._listen_again_and_again()
            else:
                self._listen()
            last = MachineReport(self._machine.id, "ended")
        except Exception as error:
            last = self._failure(error)
        self.over = True
        self._set(last)

    def _listen_again_and_again(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
                raise _gone(self._machine.source)
            except Exception as error:
                foreseen = isinstance(error, AsdEdgeError)
                if not foreseen:
                    self._detector = None
                if _text(error) != self.report.error:  # said once, not at every attempt
                    self._set(self._failure(error))
                    if not foreseen:
                        self._alarms.announce(self._machine.id)
            self._tell_unheard()
            self._stopping.wait(next(self._pauses))

    def _listen(self) -> None:
        detector = self._detector = self._detector or self._new_detector()
        line = Line(self._scorer, detector, self._tell)
        source = self._source = open_machine(self._machine, rate=self._rate, block_s=self._block_s, shared=self._shared)
        try:
            if self._stopping.is_set():  # stop() may have come before there was a source to close
                return
            looked = monotonic()
            for block in self._numbered(source.blocks()):
                if self._stopping.is_set():
                    return
                if self.report.state != "running":
                    self._pauses = _pauses()
                    self._set(MachineReport(self._machine.id, "running"))
                    wait_s = self._streams.pipeline.first_score_samples / self._rate
                    where = self._machine.id, self._machine.source
                    _log.info("Machine %s: listening to %s; first score after %.1f s of sound", *where, wait_s)
                if monotonic() - looked >= _LOOK_EVERY_S:
                    looked = monotonic()
                    self._look_at_conditions(detector, block)
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
            source.close()
            if self._ring is not None:  # what was heard is not "the last seconds" any more
                self._ring.clear()

    @property
    def _block_s(self) -> float:
        """Seconds of a block: a hop where sound comes in real time, so that a score is not late; else a pile."""
        front_end = self._streams.pipeline.front_end
        paced = 0.0 < self._machine.speed <= _NEARLY_REAL_TIME
        return front_end.hop / front_end.sample_rate if paced else _PILE_S

    def _tell(self, event: Event) -> None:
        if isinstance(event, AlarmChange):
            self._alarms.take(event)
            return
        self._publish(event)
        if isinstance(event, WindowScore) and (drift := self._drift.take(event)) is not None:
            self._publish(drift)
            means = (drift.condition, drift.mean, drift.expected)
            _log.warning("Machine %s: %s has drifted (mean score %.4f, was %.4f); re-enroll?", drift.machine, *means)

    def _tell_unheard(self) -> None:
        """Let the detector, which the scorer has let go of, know that the source has failed and stays away."""
        if self._detector is not None:
            missed = self._heard + round((monotonic() - self._heard_at) * self._rate)
            for event in self._detector.unheard(missed, time()):
                self._tell(event)

    def _numbered(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Let a source that was opened again go on after the samples that were lost meanwhile: a gap, as any other."""
        first = None
        for block in blocks:
            now = monotonic()
            if first is None:
                lost = round((now - self._heard_at) * self._rate) - len(block.samples)
                first = self._heard + max(1, lost) if self._heard else 0
            block = replace(block, start=first + block.start)
            self._heard, self._heard_at = block.start + len(block.samples), now
            yield block

    def _new_detector(self) -> Detector:
        decision = DecisionSpec(**self._machine.decision.model_dump())
        known = self._known.load()
        self._drift.expect(self._known.thresholds)
        alarm = self._alarms.standing(self._machine.id)
        return Detector(self._machine.id, self._streams, known, decision, self._heard_by, alarm)

    def _look_at_conditions(self, detector: Detector, block: Block) -> None:
        enrolling = self._known.enrolling()
        if enrolling != self.report.enrolling:
            self._set(replace(self.report, enrolling=enrolling))
        if not self._known.changed():
            return
        try:
            detector.conditions = known = self._known.load()
        except AsdEdgeError as error:  # what was known before is better than nothing
            _log.error("Machine %s goes on with the conditions it had. %s", self._machine.id, error)
            self._set(replace(self.report, error=str(error)))
            return
        if self.report.error is not None:
            self._set(replace(self.report, error=None))
        self._drift.expect(self._known.thresholds)
        names = () if known is None else tuple(condition.name for condition in known.conditions)
        event = _changed(self._machine.id, block.time, self._known, names)
        said = (event.action, event.subject, event.author, event.revision)
        _log.info("Machine %s: %s %s by %s (revision %d) holds from the next window on", self._machine.id, *said)
        self._publish(event)

    def _failure(self, error: Exception) -> MachineReport:
        if self._stopping.is_set():  # a source torn from under its reader fails; that is no news
            return MachineReport(self._machine.id, "ended")
        traceback = None if isinstance(error, AsdEdgeError) else error
        _log.error("Machine %s: %s", self._machine.id, _text(error), exc_info=traceback)
        return MachineReport(self._machine.id, "failed", _text(error))

    def _set(self, report: MachineReport) -> None:
        self.report = report
        self._changed(self)


def _changed(machine: str, time: float, known: KnownConditions, names: tuple[str, ...]) -> ConditionsChanged:
    change = known.change
    what = ("none", "", "") if change is None else (change.action, change.subject, change.author)
    return ConditionsChanged(machine, time, known.revision, *what, names[:_MOST_NAMES])


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, AsdEdgeError) else f"{type(error).__name__}: {error}"


def _pauses() -> Iterator[float]:
    """Seconds before each attempt: about 1, 2, 4 … 30, never in step with other machines."""
    pause = 1.0
    while True:
        yield pause * random.uniform(0.8, 1.2)
        pause = min(2.0 * pause, _LONGEST_PAUSE_S)


def _gone(source: str) -> SourceError:
    return SourceError(
        f"The source {source} ended",
        found="its sender left",
        expected="sound until the daemon is stopped",
        remedy="Start the sender again; it is heard as soon as it sends.",
    )
