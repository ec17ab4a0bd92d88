"""The few recent messages kept in memory while the broker is away."""

from __future__ import annotations

from collections import deque

from asd_edge.sinks.payloads import Message


class Waiting:
    """A bounded queue that gives up its oldest score first.

    Messages of retained topics (alarms) say how things stand, so they go last. Nothing survives a restart.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._messages: deque[Message] = deque()

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Message) -> int:
        """Append a message; return how many were given up for it, 0 or 1."""
        self._messages.append(message)
        if len(self._messages) <= self._capacity:
            return 0
        self._messages.remove(next((m for m in self._messages if not m.retain), self._messages[0]))
        return 1

    def take(self) -> Message:
        """Remove and return the oldest message."""
        return self._messages.popleft()
