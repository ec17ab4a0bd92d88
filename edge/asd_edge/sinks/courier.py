"""The thread of one destination: it takes events, has them on the disk, and only then lets them be delivered."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, Queue
from time import monotonic
from typing import Protocol

from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Entry, Lane, Row

_log = logging.getLogger(__name__)

_GATHER_S = 0.02  # scores of one moment wait for one another
_BETWEEN_S = 0.125  # from one commit of scores to the next, at least: each writes to flash, and wears it out
_ROUND_S = 0.25
_MOST_IN_MEMORY = 2_000  # events that wait while the disk fails, and tasks that wait while it is slow
_MOST_AT_ONCE = 1_000


class Destination(Protocol):
    """Who delivers. Everything is called in the courier's thread."""

    def committed(self, rows: list[Row]) -> None:
        """Hear what has just come onto the disk."""
        ...

    def send_uncommitted(self, entry: Entry) -> bool:
        """Send an event that the disk does not take, if that can be done now; return whether it was."""
        ...

    def turn(self) -> None:
        """Do what is due: connect, send, look at clocks. Called a few times a second, and after every task."""
        ...


class Courier:
    """Runs a destination and its outbox in one thread.

    Args:
        name: of the thread.
        outbox: used by this thread alone.
        destination: delivers.
        beat: called at every round.
    """

    def __init__(
        self, name: str, outbox: Outbox, destination: Destination, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._outbox, self._destination, self._beat = outbox, destination, beat
        # No SimpleQueue: in Python 3.10 its get() waits for ever when a short time limit is over too soon.
        self._inbox: Queue[Entry | Callable[[], None] | None] = Queue()
        self._pending: deque[Entry] = deque()
        self._since = 0.0  # when the first of them came
        self._committed_at = 0.0
        self._hurry = False
        self._told: deque[Entry] = deque()  # alarms that went out without being on the disk: they come onto it later
        self._overrun = 0  # scores given up because the thread did not come to take them
        self._counting = threading.Lock()  # of those
        self.left = 0
        """Events that had to be left when the thread ended; they are counted as given up."""
        outbox.beat = beat
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)

    # --- called by any thread ---

    def start(self) -> None:
        """Begin to work."""
        self.thread.start()

    def take(self, entry: Entry) -> None:
        """Take an event; return at once. While the disk hangs, scores beyond what memory is for are given up."""
        if entry.lane is Lane.SCORE and self._inbox.qsize() > _MOST_IN_MEMORY:
            with self._counting:
                self._overrun += 1
        else:
            self._inbox.put(entry)

    def do(self, task: Callable[[], None]) -> None:
        """Let the thread do something soon; return at once."""
        self._inbox.put(task)

    def stop(self, patience_s: float) -> None:
        """Write down what was taken, then end; return after `patience_s` at the latest."""
        self._inbox.put(None)
        self.thread.join(patience_s)

    # --- its thread ---

    def _work(self) -> None:
        going = True
        while going:
            try:
                going = self._collect()
                if (self._pending or self._told) and (not going or self._is_due()):
                    self._commit()
                self._destination.turn()
                self._outbox.tick()
            except Exception:  # one bad message must not end the thread
                _log.exception("%s", self.thread.name)
            self._beat()
        self._end()

    def _end(self) -> None:
        """Write what has come after the order to stop too; count what the disk does not take."""
        while not self._inbox.empty():
            what = self._inbox.get_nowait()
            if isinstance(what, Entry):
                self._pending.append(what)
        self._write()
        for entry in self._pending:
            self._outbox.dropped(entry.lane)
        self.left = len(self._pending)
        self._outbox.close()

    def hurry(self) -> None:
        """Let nothing wait for company any more."""
        self._hurry = True

    def _collect(self) -> bool:
        """Take what has come, waiting a moment for the first; return whether to go on."""
        wait_s = max(0.0, self._due_at - monotonic()) if self._pending else _ROUND_S
        for _ in range(_MOST_AT_ONCE):
            try:
                what = self._inbox.get(timeout=wait_s)
            except Empty:
                break
            wait_s = 0.0
            if what is None:
                return False
            if isinstance(what, Entry):
                self._since = self._since if self._pending else monotonic()
                self._pending.append(what)
            else:
                what()
        return True

    @property
    def _due_at(self) -> float:
        return 0.0 if self._hurry else max(self._since + _GATHER_S, self._committed_at + _BETWEEN_S)

    def _is_due(self) -> bool:
        return monotonic() >= self._due_at or any(entry.lane is Lane.ALARM for entry in self._pending)

    def _commit(self) -> None:
        rows = self._write()
        if rows:
            self._destination.committed(rows)
        if self._told or self._pending:
            self._do_without_the_disk()

    def _write(self) -> list[Row] | None:
        """Have what waits written; return it, None while the disk fails. What is not written waits on."""
        self._committed_at = monotonic()
        with self._counting:
            given_up, self._overrun = self._overrun, 0
        if given_up:
            self._outbox.dropped(Lane.SCORE, given_up)
        try:
            rows = self._outbox.commit((*self._told, *self._pending))
        except Exception:  # one of them is wrong: what it is must not keep the others waiting
            _log.exception("%s: events one by one", self.thread.name)
            return self._one_by_one()
        if rows is not None:
            self._told.clear()
            self._pending.clear()
        return rows

    def _one_by_one(self) -> list[Row]:
        """Write what can be written; what is wrong is given up, and what the disk does not take stays."""
        rows: list[Row] = []
        left: deque[Entry] = deque()
        for entry in (*self._told, *self._pending):
            try:
                written = self._outbox.commit((entry,))
            except Exception:  # said above, with all of them
                self._outbox.dropped(entry.lane)
                continue
            if written is None:
                left.append(entry)
            else:
                rows += written
        self._told.clear()
        self._pending = left
        return rows

    def _do_without_the_disk(self) -> None:
        """Send what waits for the disk, if that can be done, and keep no more of it than memory is for."""
        while self._pending and self._destination.send_uncommitted(self._pending[0]):
            entry = self._pending.popleft()
            self._outbox.uncommitted(1)
            if entry.lane is Lane.ALARM:  # or an older one that waits on the disk would come last
                self._told.append(entry)
        for waiting in (self._pending, self._told):
            while len(waiting) > _MOST_IN_MEMORY:
                oldest = next((entry for entry in waiting if entry.lane is Lane.SCORE), waiting[0])
                waiting.remove(oldest)
                self._outbox.dropped(oldest.lane)
