"""In which order events go out: alarms first, then what happens now, then what could not be sent when it happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Literal, NamedTuple

from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Lane, Row
from asd_edge.sinks.payloads import Message, entry_message, history_message
from asd_edge.sinks.topics import Topics

_ALARMS = 8  # messages of each stream on their way at once; a stalled link is noticed by these windows filling up
_LIVE = 16
_BATCHES = 2
_LIVE_WAITING = 512  # scores that wait for a slow link; beyond, they are history
_BATCH_ROWS = 250
_LARGEST_PACKET = 65_536  # bytes
_EVENT_BYTES = 64  # what a batch adds to an event's body and names, at most: an id has 19 digits or fewer
_FRAME_BYTES = 64  # what a packet adds to the events, topic and device in it, at most
_TRY_AGAIN_S = 1.0
_BURST_S = 0.25  # of history, sent at once after a pause


Stream = Literal["alarms", "live", "history"]


class Offer(NamedTuple):
    """A message that may be sent now, and which events are in it."""

    stream: Stream
    message: Message
    ids: tuple[int, ...]


class Streams:
    """Three streams of one outbox, in each of which the ids of a machine rise: alarms, live scores, history.

    History never keeps the others waiting: it has a window of its own, and a limited rate.

    Args:
        outbox: where events wait.
        topics: where messages go.
        history_kib_s: KiB a second of history, at most.
    """

    def __init__(self, outbox: Outbox, topics: Topics, history_kib_s: int) -> None:
        self._outbox, self._topics = outbox, topics
        self._rate = history_kib_s * 1024.0
        self._allowance, self._refilled = 0.0, monotonic()
        self._live: deque[Row] = deque()
        self._alarm_after = self._history_after = 0  # ids
        self._history_up_to: int | None = None
        self._returned = outbox.returned
        self._flying: dict[int, Offer] = {}  # by message number
        self._in_flight: set[int] = set()  # ids
        self._most = 0  # bytes of events in a message
        self._exhausted = False  # no history was found: none comes up but through `happened` and `_begin`
        self._unreadable_until = 0.0  # the disk fails

    @property
    def idle(self) -> bool:
        """Whether nothing waits that may be sent, and nothing is on its way."""
        return not self._flying and self._outbox.unconfirmed == 0

    def begin(self, largest_packet: int | None = None) -> None:
        """A connection is open: what waits until now is history, but for alarms.

        A message larger than the broker takes would end the connection: batches are cut to that, and an event that is
        too large by itself is parked.
        """
        self.forget()
        names = len(self._topics.history) + len(self._topics.device)
        self._most = min(_LARGEST_PACKET, largest_packet or _LARGEST_PACKET) - names - _FRAME_BYTES
        self._begin()

    def forget(self) -> None:
        """The connection is gone, and with it what was on its way."""
        self._live.clear()
        self._flying.clear()
        self._in_flight.clear()

    def _begin(self) -> None:
        """Read from the beginning."""
        self._returned = self._outbox.returned
        self._live.clear()
        self._alarm_after = self._history_after = 0
        self._history_up_to = self._outbox.last_id  # None while the disk fails
        self._exhausted = False

    def happened(self, rows: Sequence[Row]) -> None:
        """Take events that have just been committed."""
        self._live.extend(row for row in rows if row.entry.lane is Lane.SCORE)
        while len(self._live) > _LIVE_WAITING:
            late = self._live.popleft()
            if self._history_up_to is not None:
                self._history_up_to = late.id
            self._exhausted = False

    def due(self) -> Iterator[Offer]:
        """Yield what may be sent now; each must be told as `sent` before the next is asked for."""
        if self._returned != self._outbox.returned:
            self._begin()
        for row in self._outbox.waiting(Lane.ALARM, after=self._alarm_after, limit=self._free("alarms", _ALARMS)) or ():
            self._alarm_after = row.id
            if row.id not in self._in_flight and self._fits(row):
                yield self._single("alarms", row)
        while self._live and self._free("live", _LIVE):
            row = self._live.popleft()
            if self._fits(row):
                yield self._single("live", row)
        self._refill()
        while self._may_read_history and self._allowance > 0.0 and self._free("history", _BATCHES):
            if rows := list(self._batch()):
                message = history_message(self._topics, rows)
                self._allowance -= len(message.payload)
                yield Offer("history", message, tuple(row.id for row in rows))

    def sent(self, mid: int, offer: Offer) -> None:
        """Note under which number an offer went out."""
        self._flying[mid] = offer
        self._in_flight.update(offer.ids)

    def answered(self, mid: int, *, denied: bool) -> bool:
        """Note the broker's answer to a message; return whether it was one of these."""
        offer = self._flying.pop(mid, None)
        if offer is None:
            return False
        self._in_flight.difference_update(offer.ids)
        if denied:
            self._outbox.park(offer.ids)
        else:
            self._outbox.settle(offer.ids)
        return True

    def _fits(self, row: Row) -> bool:
        """Return whether the broker takes an event in a message, if only in one of history; else park it."""
        fits = _size(row) <= self._most
        if not fits:
            self._outbox.park([row.id])
        return fits

    def _single(self, stream: Stream, row: Row) -> Offer:
        return Offer(stream, entry_message(self._topics, row.entry, row.id), (row.id,))

    @property
    def _may_read_history(self) -> bool:
        return not self._exhausted and monotonic() >= self._unreadable_until

    def _free(self, stream: Stream, window: int) -> int:
        return max(0, window - sum(offer.stream == stream for offer in self._flying.values()))

    def _refill(self) -> None:
        now = monotonic()
        self._allowance = min(self._rate * _BURST_S, self._allowance + (now - self._refilled) * self._rate)
        self._refilled = now

    def _batch(self) -> Iterator[Row]:
        """Yield the next rows of history that fit into one message, and are not on their way already."""
        if self._history_up_to is None:  # the disk failed when this began; what happened since is not history
            last = self._outbox.last_id
            self._history_up_to = self._live[0].id - 1 if last is not None and self._live else last
        found = None
        if self._history_up_to is not None:
            found = self._outbox.waiting(
                Lane.SCORE, after=self._history_after, limit=_BATCH_ROWS, up_to=self._history_up_to
            )
        self._unreadable_until = monotonic() + _TRY_AGAIN_S if found is None else 0.0
        self._exhausted = found == []
        size = 0
        for row in found or ():
            if row.id in self._in_flight or not self._fits(row):
                self._history_after = row.id
                continue
            size += _size(row)
            if size > self._most:
                return
            self._history_after = row.id
            yield row


def _size(row: Row) -> int:
    return len(row.entry.body) + len(row.entry.machine) + len(row.entry.kind) + _EVENT_BYTES
