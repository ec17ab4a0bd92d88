"""How long somebody has really been waited for. Pure."""

from __future__ import annotations

_LONGEST_ROUND_S = 1.0


class AwakeClock:
    """The seconds that a thread has lived through, as its rounds tell: of each, one second at most.

    A process that was stopped, or whose disk hung, has not waited for an answer: it lies in its socket, unread.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._last: float | None = None

    def tick(self, monotonic: float) -> float:
        """Note a round, a few times a second; return the time."""
        if self._last is not None:
            self.now += min(monotonic - self._last, _LONGEST_ROUND_S)
        self._last = monotonic
        return self.now


class Unanswered:
    """Messages, oldest first, that a broker has not acknowledged."""

    def __init__(self) -> None:
        self._topics: dict[int, str] = {}  # by number
        self._since = 0.0  # when the oldest of them was sent, or became the oldest

    def sent(self, number: int, topic: str, now: float) -> None:
        """Note that a message went out."""
        if not self._topics:
            self._since = now
        self._topics[number] = topic

    def answered(self, number: int, now: float) -> str | None:
        """Note an answer; return the message's topic.

        A slow link is no silent broker: the next message is waited for from now on.
        """
        if next(iter(self._topics), None) == number:
            self._since = now
        return self._topics.pop(number, None)

    def waited_s(self, now: float) -> float:
        """Return how long the broker has let the oldest wait; 0 when nothing is unanswered."""
        return now - self._since if self._topics else 0.0
