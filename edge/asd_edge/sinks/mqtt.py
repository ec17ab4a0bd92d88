"""Events as JSON to an MQTT broker, which may be down at start, go away, forget and come back."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import monotonic, time
from typing import Literal

from asd_edge.config import MqttTable
from asd_edge.events import Event
from asd_edge.sinks.courier import Courier
from asd_edge.sinks.link.link import Link
from asd_edge.sinks.link.subscription import Subscription
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Entry, OutboxReport, Row
from asd_edge.sinks.payloads import (
    Counts,
    DeviceReport,
    LinkReport,
    Message,
    entry_message,
    entry_of,
    status_message,
    will_message,
)
from asd_edge.sinks.streams import Streams
from asd_edge.sinks.topics import Topics

_log = logging.getLogger(__name__)

_NOTES = 64  # answers to commands that wait for a connection; they are of use for minutes
_STATUS_EVERY_S = 60.0
_STATUS_APART_S = 2.0  # of two that say that something is wrong, or not any more
_UNPARK_EVERY_S = 3_600.0  # some brokers close the connection after a denial: not on each new one
_END_S = 2.0  # for the last commit, on a slow disk


class MqttSink:
    """Publishes events with QoS 1 and keeps the retained status true.

    The link is open once the broker has acknowledged the status "online".

    Args:
        config: where the broker is and how to talk to it.
        topics: where messages go.
        outbox: keeps events until the broker has them; from `start` on this sink's alone.
        history_kib_s: how fast what could not be sent in time is made up for.
        describe: what the daemon says about itself in each status; called in the sink's thread.
        greetings: retained messages that are published at every connection.
        beat: called at every round of the sink's thread.

    Raises:
        SinkError: the password or a TLS file cannot be read.
    """

    def __init__(
        self,
        config: MqttTable,
        topics: Topics,
        outbox: Outbox,
        history_kib_s: int,
        describe: Callable[[], DeviceReport],
        *,
        greetings: Callable[[], list[Message]] = list,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._topics, self._outbox, self._describe, self.greetings = topics, outbox, describe, greetings
        self._courier = Courier("mqtt", outbox, self, beat)
        self._opened = threading.Event()
        self._left = threading.Event()
        # From start() on, what follows belongs to the sink's thread.
        self._link = Link(config, f"asd-edge-{topics.device}", self, self._courier.do)
        self._streams = Streams(outbox, topics, history_kib_s)
        self._notes: deque[Message] = deque(maxlen=_NOTES)
        self._counts = Counts()
        self._greeting: int | None = None
        self._farewell: int | None = None
        self._leaving: str | None = None
        self._status_at = 0.0
        self._told: tuple[str | None, str | None] = None, None  # troubles in the last status
        self._unpark_at = 0.0

    # --- called by the daemon's threads ---

    @property
    def thread(self) -> threading.Thread:
        """The sink's thread."""
        return self._courier.thread

    @property
    def report(self) -> tuple[LinkReport, Counts, OutboxReport]:
        """How link, messages and outbox do."""
        return self._link.report, self._counts, self._outbox.report

    def subscribe(self, subscription: Subscription) -> None:
        """Listen to a topic from the first connection on; called before `start`."""
        self._link.subscriptions.append(subscription)

    def start(self) -> None:
        """Begin to connect; return at once."""
        self._courier.do(self._outbox.unsettle)  # the broker may have lost what it had confirmed before
        self._courier.start()

    def wait_open(self, timeout_s: float) -> bool:
        """Wait until the broker takes messages; return whether it does."""
        return self._opened.wait(timeout_s)

    def publish(self, event: Event) -> None:
        """Send an event once it is on the disk, as soon as the broker takes it; return at once."""
        self._courier.take(entry_of(event))

    def send(self, message: Message) -> None:
        """Send a message that is of use now or never; return at once."""
        self._courier.do(partial(self._notes.append, message))

    def announce(self, reason: str) -> None:
        """Publish the status anew."""

        def send() -> None:
            if self._opened.is_set():
                self._send_status("online", reason)

        self._courier.do(send)

    def stop(self, reason: str, *, patience_s: float) -> int:
        """Deliver what waits, say "offline", disconnect; return how many events the broker has not confirmed.

        They wait on the disk for the next start.
        """
        self._courier.do(partial(self._leave, reason))
        if not self._left.wait(0.6 * patience_s):
            self._courier.do(self._say_farewell)  # what waits is on the disk
            self._left.wait(0.4 * patience_s if self._opened.is_set() else 0.0)
        self._courier.do(self._disconnect)
        self._courier.stop(_END_S)
        return self._outbox.report.waiting + self._outbox.report.parked + self._courier.left

    # --- in the sink's thread: of the courier ---

    def committed(self, rows: list[Row]) -> None:
        """Send what has just happened at once, if the link is open; else the disk has it."""
        if self._opened.is_set():
            self._streams.happened(rows)

    def send_uncommitted(self, entry: Entry) -> bool:
        """Send an event that the disk does not take."""
        if self._opened.is_set():
            self._publish(entry_message(self._topics, entry, None))
        return self._opened.is_set()

    def turn(self) -> None:
        """Connect, send what waits, say how things stand."""
        self._link.tick()
        if not self._opened.is_set():
            return
        while self._notes:
            self._publish(self._notes.popleft())
        for offer in self._streams.due():
            self._streams.sent(self._publish(offer.message), offer)
        if self._leaving is not None:
            if self._streams.idle:
                self._say_farewell()
        elif self._troubles != self._told and monotonic() - self._status_at >= _STATUS_APART_S:
            mended = self._troubles == (None, None)
            self._send_status("online", "what was wrong is over" if mended else "something is wrong")
        elif monotonic() - self._status_at >= _STATUS_EVERY_S:
            self._send_status("online", "as before")

    # --- of the link ---

    def will(self) -> Message:
        """Return what the broker says when the device vanishes."""
        return will_message(self._topics)

    def on_up(self) -> None:
        """Say that the device is there; what waits follows once the broker has confirmed that."""
        if monotonic() >= self._unpark_at:
            self._unpark_at = monotonic() + _UNPARK_EVERY_S
            self._outbox.unpark()
        self._greeting = self._send_status("online", "connected")

    def on_down(self) -> None:
        """Take back what may be lost."""
        self._greeting = self._farewell = None
        self._opened.clear()
        self._streams.forget()
        self._outbox.unsettle()

    def on_acknowledged(self, mid: int, refusal: str | None) -> None:
        """Note what has become of a message."""
        if mid == self._greeting:
            self._greeting = None
            self._link.is_useful()
            self._streams.begin(self._link.largest_packet)
            self._opened.set()
            _log.info("[mqtt] Connected to %s with MQTT %s", self._link.report.broker, self._link.report.protocol)
            # Another broker, or one that has lost what it held, learns how every alarm stands.
            alarms = (entry_message(self._topics, row.entry, row.id) for row in self._outbox.forgotten_alarms())
            for message in (*alarms, *self.greetings()):
                self._link.publish(message)
        elif mid == self._farewell:
            self._left.set()
        elif self._streams.answered(mid, denied=refusal is not None):
            denied = refusal is not None
            self._counts = replace(
                self._counts,
                acknowledged=self._counts.acknowledged + (not denied),
                denied=self._counts.denied + denied,
            )

    # --- how ---

    def _publish(self, message: Message) -> int:
        self._counts = replace(self._counts, published=self._counts.published + 1)
        return self._link.publish(message)

    @property
    def _troubles(self) -> tuple[str | None, str | None]:
        return self._link.report.trouble, self._outbox.report.fault

    def _send_status(self, state: Literal["online", "offline"], reason: str) -> int:
        self._status_at = monotonic()
        self._outbox.flush()
        link = replace(self._link.report, connected=True)  # true for whoever has the status from the broker
        self._told = self._troubles
        return self._link.publish(
            status_message(
                self._topics,
                state,
                reason,
                time=time(),
                device=self._describe(),
                link=link,
                counts=self._counts,
                outbox=self._outbox.report,
            )
        )

    def _leave(self, reason: str) -> None:
        self._leaving = reason
        self._courier.hurry()

    def _say_farewell(self) -> None:
        if self._farewell is None and self._leaving is not None and self._opened.is_set():
            self._farewell = self._send_status("offline", self._leaving)

    def _disconnect(self) -> None:
        self._opened.clear()
        self._link.close(orderly=self._left.is_set())  # else the will says that the device is gone
