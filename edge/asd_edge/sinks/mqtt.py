"""Events to an MQTT broker, which may be down at start, go away and come back.

paho-mqtt is used as a transport only. One thread of ours, the sender, owns all state and does one task after
the other; paho's callbacks put a task into its inbox and return, so they can neither block nor kill paho's
network thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from time import time
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from asd_edge.config import MqttTable
from asd_edge.events import Event
from asd_edge.sinks.mqtt_client import (
    CHECK_PROTOCOL,
    CLOSED_AT_ONCE,
    VERSION_REFUSED,
    address,
    broker_error,
    connection_failure,
    leave_it_to_the_will,
    new_client,
    stop_loop,
)
from asd_edge.sinks.payloads import (
    Counts,
    DeviceReport,
    LinkReport,
    Message,
    event_message,
    no_alarm_message,
    status_message,
    will_message,
)
from asd_edge.sinks.topics import Topics
from asd_edge.sinks.waiting import Waiting

_log = logging.getLogger(__name__)

_UNACKNOWLEDGED = 20  # messages on their way at once; a stalled link is noticed by this window filling up
WAITING = 256  # messages kept while the broker is away: about a minute of four machines


class MqttSink:
    """Publishes events with QoS 1 and keeps the retained status true.

    The link is open once the broker has acknowledged the status "online": by then everything left over from the
    connection before is on its way, so that a retained alarm is never overtaken by an older one.

    Args:
        config: where the broker is and how to talk to it.
        topics: where messages go.
        describe: what the daemon says about itself in each status; called in the sender's thread.

    Raises:
        SinkError: the password or a TLS file cannot be read.
    """

    def __init__(self, config: MqttTable, topics: Topics, describe: Callable[[], DeviceReport]) -> None:
        self._config = config
        self._topics = topics
        self._describe = describe
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._sender = threading.Thread(target=self._work, name="mqtt-sender", daemon=True)
        self._opened = threading.Event()
        self._left = threading.Event()
        # From start() on, what follows belongs to the sender.
        self._link = LinkReport(config.protocol, fallback=False)
        # A broker of 3.1.1 refuses MQTT 5, but some (amqtt) never answer when the CONNECT holds a will, so the
        # first connection has none and only asks for the version.
        self._asking = config.protocol == "5"
        self._counts = Counts()
        self._waiting = Waiting(WAITING)
        self._unacknowledged: set[int] = set()
        self._refused = False
        self._greeting: int | None = None
        self._farewell: int | None = None
        self._leaving: str | None = None
        self._trouble: str | None = None
        self._client = self._new_client()

    # --- called by the daemon's threads ---

    @property
    def counts(self) -> Counts:
        """What became of the messages so far."""
        return self._counts

    def start(self) -> None:
        """Begin to connect; return at once."""
        self._sender.start()
        self._do(self._connect)

    def wait_open(self, timeout_s: float) -> bool:
        """Wait until the broker takes messages; return whether it does."""
        return self._opened.wait(timeout_s)

    def publish(self, event: Event) -> None:
        """Send an event as soon as the broker takes it; return at once."""
        self._do(lambda: self._keep(event_message(self._topics, event)))

    def publish_no_alarm(self, machine: str) -> None:
        """Say that a machine's detector has just started, without an alarm."""
        self._do(lambda: self._keep(no_alarm_message(self._topics, machine, time=time())))

    def announce(self, reason: str) -> None:
        """Publish the status anew."""

        def send() -> None:
            if self._opened.is_set():
                self._send_status("online", reason)

        self._do(send)

    def stop(self, reason: str, *, patience_s: float) -> int:
        """Deliver what waits, say "offline", disconnect; return how many messages were never confirmed."""
        self._do(partial(self._leave, reason))
        self._left.wait(patience_s)
        self._do(self._disconnect)
        self._inbox.put(None)
        self._sender.join()
        counts = self._counts
        return len(self._waiting) + len(self._unacknowledged) + counts.dropped + counts.denied

    # --- called by paho's network thread ---

    def _listen_to(self, client: paho.Client) -> None:
        def on_connect(_c: Any, _u: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
            self._do(partial(self._on_answer, client, str(reason) if reason.is_failure else None))

        def on_connect_fail(_c: Any, _u: Any) -> None:
            self._do(partial(self._on_unreachable, connection_failure()))

        def on_disconnect(_c: Any, _u: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
            self._do(partial(self._on_lost, client, str(reason)))

        def on_publish(_c: Any, _u: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
            self._do(partial(self._on_acknowledged, mid, str(reason) if reason.is_failure else None))

        client.on_connect = on_connect
        client.on_connect_fail = on_connect_fail
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish

    # --- the sender's tasks ---

    def _do(self, task: Callable[[], None]) -> None:
        self._inbox.put(task)

    def _work(self) -> None:
        while (task := self._inbox.get()) is not None:
            try:
                task()
                self._send_waiting()
            except Exception:  # one bad message must not end the sender
                _log.exception("MQTT sender")

    def _new_client(self) -> paho.Client:
        client = new_client(self._config, self._link.protocol, f"asd-edge-{self._topics.device}")
        if not self._asking:
            will = will_message(self._topics)
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        self._listen_to(client)
        return client

    def _connect(self) -> None:
        self._client.connect_async(self._config.host, self._config.port, keepalive=self._config.keepalive_s)
        self._client.loop_start()

    def _on_answer(self, client: paho.Client, refusal: str | None) -> None:
        if client is not self._client:
            return
        if self._asking and refusal in (None, VERSION_REFUSED):
            if refusal is not None:
                _log.warning("The broker does not speak MQTT 5; falling back to MQTT 3.1.1")
                self._link = LinkReport("3.1.1", fallback=True)
            self._asking = False
            client.disconnect()
            stop_loop(client)
            self._client = self._new_client()
            self._connect()
        elif refusal is None:
            self._greeting = self._send_status("online", "connected")
        else:
            self._refused = True
            self._warn(
                refusal,
                "the broker to accept the connection",
                "Check the user name, the password and the ACL.",
            )

    def _on_unreachable(self, reason: str) -> None:
        self._warn(
            reason,
            "a broker that answers",
            "Start the broker, or correct host and port under [mqtt]; connecting is tried again until then.",
        )

    def _on_lost(self, client: paho.Client, reason: str) -> None:
        if client is not self._client:
            return
        self._greeting = None
        if self._opened.is_set():
            self._opened.clear()
            _log.warning("The connection to the broker is lost (%s); connecting again", reason)
        elif not self._refused:  # a refusal was said already
            self._warn(CLOSED_AT_ONCE, "a broker that takes messages", CHECK_PROTOCOL)
        self._refused = False

    def _on_acknowledged(self, mid: int, refusal: str | None) -> None:
        if refusal is not None:
            self._warn(
                refusal,
                "permission to publish",
                f"Allow writing to {self._topics.prefix}/{self._topics.device}/#.",
            )
        if mid in self._unacknowledged:
            self._unacknowledged.discard(mid)
            if refusal is None:
                self._counts = replace(self._counts, acknowledged=self._counts.acknowledged + 1)
            else:
                self._counts = replace(self._counts, denied=self._counts.denied + 1)
        elif mid == self._greeting:
            self._greeting = None
            self._trouble = refusal
            self._opened.set()
            _log.info("Connected to %s with MQTT %s", address(self._config), self._link.protocol)
        elif mid == self._farewell:
            self._left.set()

    def _keep(self, message: Message) -> None:
        self._counts = replace(self._counts, dropped=self._counts.dropped + self._waiting.add(message))

    def _send_waiting(self) -> None:
        while self._opened.is_set() and self._waiting and len(self._unacknowledged) < _UNACKNOWLEDGED:
            mid = self._send(self._waiting.take())
            self._unacknowledged.add(mid)
            self._counts = replace(self._counts, published=self._counts.published + 1)
        done = not self._waiting and not self._unacknowledged
        if self._leaving and self._farewell is None and self._opened.is_set() and done:
            self._farewell = self._send_status("offline", self._leaving)

    def _send_status(self, state: Literal["online", "offline"], reason: str) -> int:
        device = self._describe()
        return self._send(
            status_message(
                self._topics, state, reason, time=time(), device=device, link=self._link, counts=self._counts
            )
        )

    def _send(self, message: Message) -> int:
        # Without a connection paho keeps a QoS 1 message and sends it first on the next one.
        return self._client.publish(message.topic, message.payload, qos=1, retain=message.retain).mid

    def _leave(self, reason: str) -> None:
        self._leaving = reason

    def _disconnect(self) -> None:
        if self._client.is_connected() and not self._left.is_set():  # the farewell did not get through
            leave_it_to_the_will(self._client, self._link.protocol)
        else:
            self._client.disconnect()
        stop_loop(self._client)

    def _warn(self, found: str, expected: str, remedy: str) -> None:
        if found != self._trouble:  # once, not at every attempt
            self._trouble = found
            _log.warning("%s", broker_error(self._config, found, expected, remedy))
