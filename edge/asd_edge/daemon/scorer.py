"""One thread that scores the sound of all machines together: what has arrived meanwhile goes through in one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from time import monotonic

from asd_edge.detector import Detector, advance
from asd_edge.events import Judgement, WindowScore
from asd_edge.heart import Heart
from asd_edge.sources.block import Block
from asd_edge.sources.observer import nothing
from asd_edge.sources.pacing import ROUND_S

_AHEAD_S = 2.0  # sound of one machine that may wait; its source is kept waiting beyond, as a slow reader would do


class Line:
    """The way of one machine's blocks into the scorer and of its events out.

    Args:
        scorer: whose thread does the work.
        detector: of this machine; from now on the scorer's.
        publish: takes every event; called in the scorer's thread.
        waiting: called every second while the scorer is waited for.
    """

    def __init__(
        self,
        scorer: Scorer,
        detector: Detector,
        publish: Callable[[Judgement], None],
        waiting: Callable[[], None] = nothing,
    ) -> None:
        self.detector = detector
        self.publish = publish
        self.error: Exception | None = None
        self._scorer = scorer
        self._waiting = waiting
        self._waiting_s = 0.0
        self._room = threading.Condition()

    def push(self, block: Block) -> None:
        """Hand over the next block; wait while too much is waiting.

        Raises:
            Exception: what went wrong with an earlier block. The line is dead then.
        """
        seconds = len(block.samples) / self.detector.rate
        with self._room:
            while not self._room.wait_for(lambda: self._waiting_s < _AHEAD_S or self.error is not None, ROUND_S):
                self._waiting()
            self._raise()
            self._waiting_s += seconds
        self._scorer.put(_Work(self, block, seconds))

    def finish(self) -> None:
        """End the stream: wait until everything pushed is scored, and the short rest too.

        Raises:
            Exception: what went wrong meanwhile.
        """
        self._wait_for(_Work(self, None, 0.0, flush=True))
        self._raise()

    def drain(self) -> None:
        """Wait until everything pushed is scored; nothing is pushed any more."""
        self._wait_for(_Work(self, None, 0.0))

    def kill(self, error: Exception) -> None:
        """Drop what is not scored yet, and wait until the scorer has let go of the detector."""
        self.settle(0.0, error)
        self._wait_for(_Work(self, None, 0.0))

    def _wait_for(self, work: _Work) -> None:
        self._scorer.put(work)
        while not work.done.wait(ROUND_S):
            self._waiting()

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    def settle(self, seconds: float, error: Exception | None) -> None:
        """Take note, in the scorer's thread, that a block is done with."""
        with self._room:
            self._waiting_s -= seconds
            if error is not None and self.error is None:
                self.error = error
            self._room.notify_all()


@dataclass(slots=True, eq=False)
class _Work:
    """A block to score; without one, a mark that all before it is done, with `flush` the end of the stream."""

    line: Line
    block: Block | None
    seconds: float
    flush: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class Scorer:
    """The scoring thread. It sleeps until a block arrives, then takes everything that has arrived.

    Args:
        heart: gives its sign of life.
    """

    def __init__(self, heart: Callable[[str], Heart] = Heart) -> None:
        self._heart = heart("scorer")
        self._inbox: SimpleQueue[_Work | Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scorer", daemon=True)

    @property
    def run(self) -> int | None:
        """Number of the run in flight; None while it waits for sound. Any thread may ask."""
        return self._heart.round

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Score what has been put in, then end; return after `patience_s` at the latest."""
        self._inbox.put(None)
        self._thread.join(patience_s)

    def put(self, work: _Work) -> None:
        """Take work from any thread."""
        self._inbox.put(work)

    def between(self, task: Callable[[], None]) -> None:
        """Let the scorer's thread do `task`, which does not raise, before the next blocks; from any thread."""
        self._inbox.put(task)

    def _run(self) -> None:
        with self._heart:
            self._work()

    def _work(self) -> None:
        waiting: list[_Work] = []
        going = True
        while going or waiting:
            while going and not (waiting and self._inbox.empty()):
                self._heart.rest()
                work = self._inbox.get()
                self._heart.beat()
                if work is None:
                    going = False
                elif isinstance(work, _Work):
                    waiting.append(work)
                else:
                    work()
            self._heart.beat()
            waiting = self._advance(waiting)

    def _advance(self, waiting: list[_Work]) -> list[_Work]:
        """Do the first work of every line; return what remains."""
        first: dict[Line, _Work] = {}
        rest: list[_Work] = []
        for work in waiting:
            if work.line in first:
                rest.append(work)
            else:
                first[work.line] = work
        _score([work for work in first.values() if work.block is not None and work.line.error is None])
        for work in first.values():
            if work.flush:
                _flush(work)
            work.line.settle(work.seconds, None)
            work.done.set()
        return rest


def _score(batch: list[_Work]) -> None:
    if not batch:
        return
    blocks = [work.block for work in batch if work.block is not None]
    try:
        results = advance([work.line.detector for work in batch], blocks)
    except Exception as error:  # the network itself cannot run: every machine starts anew
        for work in batch:
            work.line.settle(0.0, error)
        return
    for work, result in zip(batch, results, strict=True):
        _deliver(work.line, result)


def _flush(work: _Work) -> None:
    if work.line.error is None:
        try:
            _deliver(work.line, work.line.detector.flush())
        except Exception as error:
            work.line.settle(0.0, error)


def _deliver(line: Line, result: list[Judgement] | Exception) -> None:
    if isinstance(result, Exception):
        line.settle(0.0, result)
        return
    try:
        for event in result:
            line.publish(_stamped(event))
    except Exception as error:  # of a listener: its machine's alone
        line.settle(0.0, error)


def _stamped(event: Judgement) -> Judgement:
    """Write into a score how long it took since its last sample was captured."""
    if isinstance(event, WindowScore) and event.monotonic is not None:
        return replace(event, delay_s=max(0.0, monotonic() - event.monotonic))
    return event
