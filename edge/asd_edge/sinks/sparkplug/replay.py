"""Which events a host may have missed. Data goes out with QoS 0, so nobody confirms it: time must tell.

A message that is sent while the link is half open is lost without a sign, until paho has missed the answer to a
PINGREQ: twice the keep-alive after the broker was last heard. So what was sent is settled once the connection has stood
for longer than that; until then it waits, and is told again, as history, on the next connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from time import monotonic

from asd_edge.sinks.link.patience import AwakeClock
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Lane, Row

_BATCH_ROWS = 500  # of all machines; one message a machine
_ROW_BYTES = 512  # of an event in a message, at most; about 200 of a score and 320 of an alarm
_MARGIN_S = 5.0  # the end of a connection has to be noticed, and to come to our thread
_AT_ONCE = 5_000  # events in a commit: about 0.2 s
_REPORT_LAG_S = 3.0
_BURST_S = 0.25  # of history, sent at once after a pause


class Replay:
    """Keeps account of what was sent on this connection; the outbox has the rest.

    Args:
        outbox: where events wait.
        history_kib_s: KiB a second of history, at most.
        keepalive_s: of the connection.
    """

    def __init__(self, outbox: Outbox, history_kib_s: int, keepalive_s: float) -> None:
        self._outbox, self._window_s = outbox, 2.0 * keepalive_s + _MARGIN_S
        self._rate = history_kib_s * 1024.0
        self._allowance, self._refilled = 0.0, 0.0
        self._clock = AwakeClock()  # a connection may have died while the process was stopped, and nobody has seen it
        self._sent: deque[tuple[float, tuple[int, ...]]] = deque()  # when, and which ids
        self._unsure = 0  # how many ids that is
        self._settled: deque[tuple[float, int]] = deque()  # when, and how many: the outbox's report lags behind
        self._live: set[int] = set()  # those of them that were no history
        self._after = dict.fromkeys(Lane, 0)  # all history up to this id was sent

    @property
    def unsent(self) -> int:
        """How many events wait that were not sent on this connection."""
        return max(0, self._outbox.report.waiting - self._unsure - sum(number for _, number in self._settled))

    def sent(self, ids: Iterable[int], *, live: bool) -> None:
        """Note that events were sent, as they happened or as history."""
        ids = tuple(ids)
        self._sent.append((self._clock.now, ids))
        self._unsure += len(ids)
        if live:
            self._live.update(ids)

    def tick(self, now: float) -> None:
        """Settle what was sent long enough ago, and allow more history."""
        awake = self._clock.tick(now)
        while self._sent and awake - self._sent[0][0] >= self._window_s:
            self._settle(self._sent.popleft()[1])
        while self._settled and now - self._settled[0][0] >= _REPORT_LAG_S:
            self._settled.popleft()
        self._allowance = min(self._rate * _BURST_S, self._allowance + (now - self._refilled) * self._rate)
        self._refilled = now

    def arrived(self, until: float) -> None:
        """The broker has confirmed a message that went out after all others: it has those too.

        That is written down until then by the monotonic clock, for a stop cannot last; the rest is told again.
        """
        while self._sent and monotonic() < until:
            number = 0
            while self._sent and number < _AT_ONCE:
                number += len(self._sent[0][1])
                self._settle(self._sent.popleft()[1])
            self._outbox.commit(())

    def lost(self) -> None:
        """The connection is gone; nobody knows what has arrived."""
        self._sent.clear()
        self._live.clear()
        self._unsure = 0
        self._after = dict.fromkeys(Lane, 0)

    @property
    def allowed(self) -> bool:
        """Whether history may be sent now."""
        return self._allowance > 0.0

    def spent(self, size: int) -> None:
        """Note that a message of history of so many bytes went out."""
        self._allowance -= size

    def batch(self, largest_packet: int | None = None) -> dict[str, list[Row]]:
        """Return the next history of each machine, oldest first, alarms before all scores; all of it must be sent.

        A machine's fits into a packet of so many bytes.
        """
        limit = _BATCH_ROWS if largest_packet is None else min(_BATCH_ROWS, max(1, largest_packet // _ROW_BYTES))
        for lane in Lane.ALARM, Lane.SCORE:
            while rows := self._outbox.waiting(lane, after=self._after[lane], limit=limit):
                self._after[lane] = rows[-1].id
                machines: dict[str, list[Row]] = {}
                for row in rows:
                    if row.id not in self._live:
                        machines.setdefault(row.entry.machine, []).append(row)
                if machines:
                    return machines
        return {}

    def _settle(self, ids: tuple[int, ...]) -> None:
        self._outbox.settle(ids)
        self._settled.append((self._refilled, len(ids)))
        self._unsure -= len(ids)
        self._live.difference_update(ids)
