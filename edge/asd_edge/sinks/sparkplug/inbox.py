"""Messages from outside until the node's thread reads them: bounded, whatever is sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial

from asd_edge.sinks.link.subscription import Subscription

_LONGEST = 16_384  # bytes; a rebirth command and a STATE have less than 100
_MOST = 64  # of a topic; older ones make room


class Inbox:
    """The newest messages of some topics."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._messages = {topic: deque[tuple[bytes, bool]](maxlen=_MOST) for topic in topics}

    @property
    def subscriptions(self) -> list[Subscription]:
        """What fills it; called in paho's thread."""
        return [Subscription(topic, partial(self._arrived, topic)) for topic in self._messages]

    def read(self) -> Iterator[tuple[str, bytes, bool]]:
        """Take out topic, payload, and whether the broker had kept it (retained)."""
        for topic, messages in self._messages.items():
            while messages:
                yield topic, *messages.popleft()

    def clear(self) -> None:
        """Forget what came on a connection that is gone."""
        for messages in self._messages.values():
            messages.clear()

    def _arrived(self, topic: str, payload: bytes, retained: bool) -> None:
        if len(payload) <= _LONGEST:
            self._messages[topic].append((payload, retained))
