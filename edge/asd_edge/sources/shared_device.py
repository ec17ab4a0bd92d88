"""One ALSA device with several listeners: one arecord child for all of them."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from asd_edge.sources.microphone import Microphone
from asd_edge.sources.observer import nothing
from asd_edge.sources.pacing import ROUND_S
from asd_edge.sources.pieces import Capture, Piece

_log = logging.getLogger(__name__)

_WAITING_S = 5.0  # sound that is kept for a listener that is behind
_LET_GO_S = 2.0  # a driver that hangs does not


class SharedDevice:
    """An ALSA device that is open while anybody listens to it.

    The first listener starts it and the last one ends it; one that comes later joins what is running. A thread reads
    the device and hands every piece to all listeners, without looking into it and without waiting for anybody.

    Args:
        name: its ALSA name.
        channels: channels it is opened with.
    """

    def __init__(self, name: str, *, channels: int) -> None:
        self.name = name
        self.channels = channels
        self._run: _Run | None = None
        self._free = threading.Event()  # set when the last run's recorder has ended
        self._free.set()
        self._changing = threading.Lock()  # of `_run` and of its listeners

    def listen(self, machine: str, *, rate: int, piece_s: float, waiting: Callable[[], None] = nothing) -> Capture:
        """Return a hold for the machine of this id; it begins to listen when its pieces are asked for.

        While one runs, another rate or length of pieces is a ValueError then.
        """
        return _Listener(self, machine, rate=rate, piece_s=piece_s, waiting=waiting)

    def join(self, listener: _Listener) -> None:
        """Let it have every piece from now on, until it leaves or is told that the device failed."""
        self.await_free()
        with self._changing:
            run = self._run or self._new_run(listener)
            if (listener.rate, listener.piece_s) != (run.rate, run.piece_s):
                raise ValueError(
                    f"{self.name} is open at {run.rate} samples a second in pieces of {run.piece_s} s, and cannot be "
                    f"at {listener.rate} in pieces of {listener.piece_s} s too"
                )
            run.listeners += (listener,)
            if self._run is None:
                self._free = run.free
                # A thread that waits for a silent device must not keep the process alive.
                threading.Thread(target=self._read, args=(run,), name=f"alsa-{self.name}", daemon=True).start()
                self._run = run

    def leave(self, listener: _Listener) -> None:
        """Let it have nothing any more; without a listener the device is free soon."""
        with self._changing:
            run = self._run
            if run is None or listener not in run.listeners:
                return
            run.listeners = tuple(other for other in run.listeners if other is not listener)
            if not run.listeners:
                self._run = None
                run.microphone.close()

    def await_free(self) -> None:
        """Wait, unless somebody listens, until the device may be opened again."""
        if self._run is None:
            self._free.wait(_LET_GO_S)

    def _new_run(self, first: _Listener) -> _Run:
        microphone = Microphone(self.name, channels=self.channels, rate=first.rate, piece_s=first.piece_s)
        return _Run(microphone, first.rate, first.piece_s)

    def _read(self, run: _Run) -> None:
        failure = None
        try:
            for piece in run.microphone.pieces():
                for listener in run.listeners:
                    listener.hand(piece)
        except Exception as error:
            failure = error
        run.free.set()
        with self._changing:
            if self._run is run:
                self._run = None
            listeners, run.listeners = run.listeners, ()
        for listener in listeners:
            listener.end(failure)


@dataclass(slots=True)
class _Run:
    """The time between opening a device and closing it."""

    microphone: Microphone
    rate: int
    piece_s: float
    listeners: tuple[_Listener, ...] = ()  # replaced, never changed: it is read without the lock
    free: threading.Event = field(default_factory=threading.Event)


class _Listener:
    """One machine's hold on a shared device.

    What it is behind by is kept for it up to a limit; then the oldest piece goes, which is a gap as any other.
    """

    def __init__(
        self, device: SharedDevice, machine: str, *, rate: int, piece_s: float, waiting: Callable[[], None]
    ) -> None:
        self.rate = rate
        self.piece_s = piece_s
        self._device = device
        self._machine = machine
        self._waiting_for_sound = waiting
        self._waiting: deque[Piece] = deque(maxlen=max(2, round(_WAITING_S / piece_s)))
        self._late = False
        self._closed = False
        self._ended = False
        self._failure: Exception | None = None
        self._news = threading.Condition()

    def pieces(self) -> Generator[Piece, None, None]:
        """Yield pieces, numbered by the device, until `close`; a gap in between is lost sound.

        Raises:
            Exception: what ended the device, to every listener: a SourceError when it cannot be opened or is lost.
        """
        self._device.join(self)
        try:
            while (piece := self._next()) is not None:
                yield piece
        finally:
            self._device.leave(self)
            self._device.await_free()

    def close(self) -> None:
        """End `pieces` soon and leave the device, from any thread."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._device.leave(self)

    def hand(self, piece: Piece) -> None:
        """Take a piece that was read; never waits for the machine."""
        with self._news:
            first_loss = len(self._waiting) == self._waiting.maxlen and not self._late
            self._late = self._late or first_loss
            self._waiting.append(piece)  # a full deque drops its oldest
            self._news.notify()
        if first_loss:
            _log.warning(
                "Machine %s is more than %.0f s behind the microphone %s and loses sound; this is said once",
                self._machine,
                _WAITING_S,
                self._device.name,
            )

    def end(self, failure: Exception | None) -> None:
        """Hear that the device is over; what waits is heard before."""
        with self._news:
            self._ended, self._failure = True, failure
            self._news.notify()

    def _has_news(self) -> bool:
        with self._news:
            return self._news.wait_for(lambda: bool(self._waiting) or self._ended or self._closed, ROUND_S)

    def _next(self) -> Piece | None:
        while not self._has_news():
            self._waiting_for_sound()
        with self._news:
            if self._closed:
                return None
            if self._waiting:
                return self._waiting.popleft()
            if self._failure is not None:
                raise self._failure
            return None
