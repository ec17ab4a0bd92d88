"""Events to an MQTT broker, which may be down at start, go away and come back.

paho-mqtt is used as a transport only. One thread of ours, the sender, owns all state and does one task after
the other; paho's callbacks put a task into its inbox and return, so they can neither block nor kill paho's
network thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from time import time
from typing import Literal

import paho.mqtt.client as paho

from asd_edge.config import MqttTable
from asd_edge.events import Event
from asd_edge.sinks.delivery import Delivery
from asd_edge.sinks.mqtt_client import (
    CHECK_PROTOCOL,
    CLOSED_AT_ONCE,
    VERSION_REFUSED,
    address,
    broker_error,
    call_back,
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
    status_message,
    will_message,
)
from asd_edge.sinks.subscription import Subscription
from asd_edge.sinks.topics import Topics

_log = logging.getLogger(__name__)

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
        self._delivery = Delivery(WAITING)
        self._subscription: Subscription | None = None
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
        return self._delivery.counts

    def subscribe(self, subscription: Subscription) -> None:
        """Listen to a topic from the first connection on; called before `start`."""
        self._subscription = subscription
        self._listen_to(self._client)

    def start(self) -> None:
        """Begin to connect; return at once."""
        self._sender.start()
        self._do(self._connect)

    def wait_open(self, timeout_s: float) -> bool:
        """Wait until the broker takes messages; return whether it does."""
        return self._opened.wait(timeout_s)

    def publish(self, event: Event) -> None:
        """Send an event as soon as the broker takes it; return at once."""
        self.send(event_message(self._topics, event))

    def send(self, message: Message) -> None:
        """Send a message as soon as the broker takes it; return at once."""
        self._do(partial(self._delivery.keep, message))

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
        return self._delivery.unconfirmed

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

    def _listen_to(self, client: paho.Client) -> None:
        call_back(
            client,
            self._do,
            answered=self._on_answer,
            unreachable=self._on_unreachable,
            lost=self._on_lost,
            acknowledged=self._on_acknowledged,
        )
        if self._subscription is not None:
            self._subscription.listen_to(client, lambda reason: self._do(partial(self._on_deaf, reason)))

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
            if self._subscription is not None:  # first, so that a device that is online listens
                self._subscription.subscribe(client, self._link.protocol)
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
        if self._delivery.answered(mid, denied=refusal is not None):
            return
        if mid == self._greeting:
            self._greeting = None
            self._trouble = refusal
            self._opened.set()
            _log.info("Connected to %s with MQTT %s", address(self._config), self._link.protocol)
        elif mid == self._farewell:
            self._left.set()

    def _on_deaf(self, reason: str) -> None:
        assert self._subscription is not None
        self._warn(reason, "permission to subscribe", f"Allow reading {self._subscription.topic}.")

    def _send_waiting(self) -> None:
        while self._opened.is_set() and (message := self._delivery.take()) is not None:
            self._delivery.sent(self._send(message))
        if self._leaving and self._farewell is None and self._opened.is_set() and self._delivery.done:
            self._farewell = self._send_status("offline", self._leaving)

    def _send_status(self, state: Literal["online", "offline"], reason: str) -> int:
        device = self._describe()
        return self._send(
            status_message(self._topics, state, reason, time=time(), device=device, link=self._link, counts=self.counts)
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
