"""Messages from us to the broker: which wait, which are on their way, what became of the others."""

from __future__ import annotations

from dataclasses import replace

from asd_edge.sinks.payloads import Counts, Message
from asd_edge.sinks.waiting import Waiting

_UNACKNOWLEDGED = 20  # messages on their way at once; a stalled link is noticed by this window filling up


class Delivery:
    """Bookkeeping of the sender; `capacity` messages wait while the broker is away."""

    def __init__(self, capacity: int) -> None:
        self.counts = Counts()
        """What became of the messages so far."""
        self._waiting = Waiting(capacity)
        self._on_their_way: set[int] = set()

    @property
    def done(self) -> bool:
        """Whether nothing waits or is on its way."""
        return not self._waiting and not self._on_their_way

    @property
    def unconfirmed(self) -> int:
        """How many messages the broker has not confirmed, given up and refused ones too."""
        return len(self._waiting) + len(self._on_their_way) + self.counts.dropped + self.counts.denied

    def keep(self, message: Message) -> None:
        """Take a message that is to be sent."""
        self.counts = replace(self.counts, dropped=self.counts.dropped + self._waiting.add(message))

    def take(self) -> Message | None:
        """Return the next message to send now; None when there is none, or enough are on their way."""
        if not self._waiting or len(self._on_their_way) >= _UNACKNOWLEDGED:
            return None
        return self._waiting.take()

    def sent(self, mid: int) -> None:
        """Note under which id the message just taken went out."""
        self._on_their_way.add(mid)
        self.counts = replace(self.counts, published=self.counts.published + 1)

    def answered(self, mid: int, *, denied: bool) -> bool:
        """Note the broker's answer to an id; return whether it was one of ours."""
        if mid not in self._on_their_way:
            return False
        self._on_their_way.discard(mid)
        counts = self.counts
        self.counts = (
            replace(counts, denied=counts.denied + 1)
            if denied
            else replace(counts, acknowledged=counts.acknowledged + 1)
        )
        return True
