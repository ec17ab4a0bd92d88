"""A thread's sign of life, for whoever watches it (asd_edge.daemon.watchdog)."""

from __future__ import annotations

from types import TracebackType

LIMIT_S = 60.0
"""[ours] A flash card may stall for seconds and a microphone's patience is some too; a minute is none of these."""


class Heart:
    """Beats as its thread gets on.

    A thread that waits with a time limit calls `beat` in every round. One that waits without a limit calls `rest`
    before, and `beat` when it has work in hand; that must end, or beat again, within `limit_s`. Its whole life goes
    into `with heart:`, so that one that died of an exception is told from one that ended.

    Any thread may look.

    Args:
        name: of the thread, as people are told it.
        limit_s: seconds from one beat to the next.
    """

    def __init__(self, name: str, limit_s: float = LIMIT_S) -> None:
        self.name = name
        self.limit_s = limit_s
        self.round: int | None = None
        """Number of the round in hand; None while none has to end."""
        self.died: str | None = None
        """The exception that the thread ended with."""
        self.alive = False
        """Whether the thread has begun and has not ended."""
        self._rounds = 0

    def beat(self) -> None:
        """Begin another round: the one before is done."""
        self._rounds += 1
        self.round = self._rounds
        self.alive = True

    def rest(self) -> None:
        """Wait for work, however long it takes to come."""
        self.round = None

    def end(self) -> None:
        """Beat no more: the thread ends as it should."""
        self.round, self.alive = None, False

    def __enter__(self) -> None:
        self.beat()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.end()
        if kind is not None:
            self.died = f"{kind.__name__}: {error}"
