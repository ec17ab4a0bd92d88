"""Destinations that end and others that take over their outboxes, on a disk that may stall meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from asd_edge.daemon.watchdog import Watchdog
from asd_edge.events import Event
from asd_edge.heart import Heart
from asd_edge.sinks.outbox.rows import OutboxReport
from asd_edge.sinks.payloads import Counts, LinkReport

_log = logging.getLogger(__name__)

_SWITCH_S = 2.0  # for what waits to be delivered; after that it waits on the disk


class Sink(Protocol):
    """What delivers. Before `start` it takes events too: they wait in memory then."""

    @property
    def thread(self) -> threading.Thread:
        """Its thread, which alone uses its outbox."""
        ...

    @property
    def report(self) -> tuple[LinkReport, Counts | None, OutboxReport]:
        """How link, messages, where they are counted, and outbox do."""
        ...

    def start(self) -> None:
        """Begin to connect; return at once."""
        ...

    def wait_open(self, timeout_s: float) -> bool:
        """Wait until the broker takes messages; return whether it does."""
        ...

    def publish(self, event: Event) -> None:
        """Take an event; return at once."""
        ...

    def announce(self, reason: str) -> None:
        """Publish anew how the device does."""
        ...

    def stop(self, reason: str, *, patience_s: float) -> int:
        """End; return how many events the broker has not confirmed."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Destination:
    """A sink, and the heart of its thread."""

    name: str
    sink: Sink
    heart: Heart

    @property
    def begun(self) -> bool:
        """Whether its thread was started."""
        return self.sink.thread.ident is not None


class Handover:
    """Ends sinks and begins others, in a thread of its own: two threads must never use one outbox.

    The one before may hang in its disk for as long as it likes. Nobody waits for it but this thread; its own heart,
    which is watched until it has ended, says so, and is what ends the process when the disk does not come back.

    Args:
        watchdog: watches over the sinks' threads, and over this one.
    """

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._heart = watchdog.heart("destinations")
        self._orders: SimpleQueue[tuple[Sequence[Destination], Sequence[Destination]] | None] = SimpleQueue()
        self._lock = threading.Lock()  # nothing begins once it is over
        self._over = False
        self._thread = threading.Thread(target=self._run, name="destinations", daemon=True)

    def start(self) -> None:
        """Begin to take orders."""
        self._thread.start()

    def order(self, old: Sequence[Destination], new: Sequence[Destination]) -> None:
        """Have the old ones end, then the new ones begin; return at once."""
        self._orders.put((old, new))

    def begin(self, destination: Destination) -> None:
        """Begin at once, where no other one has the outbox."""
        with self._lock:
            if not self._over:
                destination.heart.beat()  # what does not even come to its first round is stuck too
                self._watchdog.watch(destination.heart)
                destination.sink.start()

    def stop(self, patience_s: float) -> None:
        """Wait a while for what was ordered; nothing begins any more when this returns."""
        self._orders.put(None)
        self._thread.join(patience_s)
        with self._lock:
            self._over = True

    def _run(self) -> None:
        with self._heart:
            while (order := self._next()) is not None:
                old, new = order
                for destination in old:
                    self._end(destination)
                for destination in new:
                    self.begin(destination)

    def _next(self) -> tuple[Sequence[Destination], Sequence[Destination]] | None:
        self._heart.rest()
        order = self._orders.get()
        self._heart.beat()
        return order

    def _end(self, destination: Destination) -> None:
        self._heart.beat()
        destination.sink.stop("the device file has changed", patience_s=_SWITCH_S)
        if destination.sink.thread.is_alive():
            _log.warning("The outbox of [%s] is still being written; who takes over waits for that", destination.name)
        self._heart.rest()
        destination.sink.thread.join()
        self._heart.beat()
        self._watchdog.forget(destination.heart)
