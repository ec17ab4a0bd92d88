"""What the daemon keeps of what it hears: the last seconds of sound in memory, embedded segments on the disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.bundle import Bundle
from asd_edge.config import DeviceConfig
from asd_edge.control import ControlReply, ControlRequest
from asd_edge.daemon.evidence import ring_seconds
from asd_edge.daemon.order import Order
from asd_edge.daemon.ring import SoundRing
from asd_edge.detector import Heard
from asd_edge.errors import AsdEdgeError, StateError
from asd_edge.heart import Heart
from asd_edge.history.format import MOST_BYTES, HistoryLayout, history_path
from asd_edge.history.writer import HistoryWriter
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import EmbeddedSegments

_log = logging.getLogger(__name__)

_FLUSH_S = 15.0  # that a command waits for the disk; its client has little more patience
_EVERY_S = 5.0  # what is lost at a kill -9, at most
_MANY = 1 / 8  # of what may wait, from a recording that is read at full speed: it is written before that


class Keeping:
    """The rings and histories of all machines, and the thread that writes the histories.

    That thread is its own: a flash card may stall for seconds, which must keep neither sound nor scores waiting.

    Args:
        config: the device.
        bundle: what embeds.
        pipeline: of that bundle.
        heart: gives the thread's sign of life.
    """

    def __init__(
        self, config: DeviceConfig, bundle: Bundle, pipeline: Pipeline, heart: Callable[[str], Heart] = Heart
    ) -> None:
        self._device, self._pipeline = config.device, pipeline
        self._layout = _layout(bundle, pipeline, hours=self._device.history_h)
        self._rings: dict[str, SoundRing] = {}
        self._writers: dict[str, HistoryWriter] = {}
        self._heart = heart("history")
        self._failing: set[str] = set()
        self._gone: SimpleQueue[tuple[str, HistoryWriter]] = SimpleQueue()
        self._flushes: SimpleQueue[Order] = SimpleQueue()
        self._wake = threading.Event()
        self._stopping = False
        self.follow(config)
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Write the rest, then end; return after `patience_s` at the latest."""
        self._stopping = True
        self._wake.set()
        self._thread.join(patience_s)

    def follow(self, config: DeviceConfig) -> None:
        """Keep what the machines of this device file are heard to do, and no other's; those that stay lose nothing."""
        names = [machine.id for machine in config.machines]
        rings, writers = self._rings, self._writers
        rate = self._pipeline.front_end.sample_rate
        self._rings = {
            name: rings.get(name) or SoundRing(rate, s) for name in names if (s := ring_seconds(config, name)) > 0.0
        }
        for name, ring in self._rings.items():
            ring.keep(ring_seconds(config, name))
        if self._device.history_h > 0.0:
            self._writers = {name: writers.get(name) or self._writer(name) for name in names}
        for name in writers.keys() - set(names):
            self._gone.put((name, writers[name]))
        self._wake.set()

    def _writer(self, machine: str) -> HistoryWriter:
        return HistoryWriter(history_path(self._device.state_dir, machine), self._layout)

    def ring(self, machine: str) -> SoundRing | None:
        """Return what keeps the machine's sound; None when nothing does."""
        return self._rings.get(machine)

    def heard(self, machine: str) -> Heard | None:
        """Return what keeps the machine's segments; None when nothing does."""
        writer = self._writers.get(machine)
        if writer is None:
            return None
        rate, length = self._pipeline.front_end.sample_rate, self._pipeline.segment_samples
        hop = self._pipeline.front_end.hop

        def keep(origin: int, zero_time: float, segments: EmbeddedSegments) -> None:
            ends = origin + segments.first_frame * hop + length
            writer.append(origin, segments, zero_time + ends / rate)
            if writer.waiting >= _MANY * writer.most_waiting and machine not in self._failing:
                self._wake.set()

        return keep

    def answer(self, request: ControlRequest) -> tuple[ControlReply, NDArray[np.float32]]:
        """Fulfil the request of a command.

        Raises:
            AsdEdgeError: it cannot be fulfilled.
        """
        sound, rate = np.zeros(0, np.float32), None
        if request.request == "flush":
            self._flush()
        if request.request == "sound" and request.machine is not None and request.seconds is not None:
            ring = self._rings.get(request.machine)
            if ring is None:
                raise _no_sound(request.machine, list(self._rings))
            sound, rate = ring.last(request.seconds), ring.rate
        return ControlReply(rate=rate, samples=len(sound)), sound

    def _flush(self) -> None:
        flush = Order()
        self._flushes.put(flush)
        self._wake.set()
        late = StateError(
            "The histories are not written yet",
            found=f"a disk that takes more than {_FLUSH_S:.0f} s",
            expected="a disk that takes them at once",
            remedy="Try again; examine the disk if that lasts.",
        )
        flush.wait(_FLUSH_S, late)

    def _run(self) -> None:
        with self._heart:
            while not self._stopping:
                self._wake.wait(_EVERY_S)
                self._wake.clear()
                self._write(HistoryWriter.flush)
            self._write(HistoryWriter.close)

    def _write(self, do: Callable[[HistoryWriter], None]) -> None:
        flushes = _taken(self._flushes)
        for machine, writer in _taken(self._gone):  # before another writer of that machine comes to the file
            self._try(HistoryWriter.close, machine, writer)
            self._failing.discard(machine)
        errors = [self._try(do, machine, writer) for machine, writer in self._writers.items()]
        for flush in flushes:
            flush.fulfil(next(filter(None, errors), None))

    def _try(self, do: Callable[[HistoryWriter], None], machine: str, writer: HistoryWriter) -> Exception | None:
        self._heart.beat()
        try:
            do(writer)
        except Exception as error:  # one machine's; the others' histories go on
            if machine not in self._failing:  # said once, not every five seconds
                surprise = None if isinstance(error, AsdEdgeError) else error
                _log.error("Machine %s is heard, but its history is not kept. %s", machine, error, exc_info=surprise)
                self._failing.add(machine)
            return error
        if machine in self._failing:
            _log.info("The history of machine %s is kept again", machine)
            self._failing.remove(machine)
        return None


_Item = TypeVar("_Item")


def _taken(queue: SimpleQueue[_Item]) -> list[_Item]:
    return [queue.get() for _ in range(queue.qsize())]


def _layout(bundle: Bundle, pipeline: Pipeline, *, hours: float) -> HistoryLayout:
    rate, hop, step = pipeline.front_end.sample_rate, pipeline.front_end.hop, pipeline.segment.step
    layout = HistoryLayout.of_hours(bundle.embedding_id, bundle.manifest.dims, hours, rate=rate, hop=hop, step=step)
    kept = layout.capacity * step * hop / rate / 3600.0
    if kept < 0.99 * hours:
        _log.warning(
            "The history of a machine keeps the last %.1f h, not %.1f: %d numbers a segment fill %d MiB by then",
            kept,
            hours,
            layout.dims,
            MOST_BYTES >> 20,
        )
    return layout


def _no_sound(machine: str, kept: list[str]) -> StateError:
    if not kept:
        return StateError(
            "The daemon keeps no sound",
            found="device.ring_s = 0",
            expected="seconds of sound to keep",
            remedy="Set device.ring_s in the device file and restart asd-edge run.",
        )
    return StateError(
        "The daemon does not hear that machine",
        found=machine,
        expected=f"one of {', '.join(kept)}",
        remedy="Restart asd-edge run if the device file has changed since.",
    )
