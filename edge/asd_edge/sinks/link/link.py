"""One MQTT connection at a time, to the first of some brokers that takes it.

paho-mqtt is used as a transport only: pauses, failover and versions are decided here, in the owner's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Literal, Protocol

from asd_edge.config import BrokerTable, Server
from asd_edge.sinks.link.connection import Connection
from asd_edge.sinks.link.mqtt_client import VERSION_REFUSED, broker_error, leave_it_to_the_will, new_client, shut
from asd_edge.sinks.link.patience import AwakeClock
from asd_edge.sinks.link.subscription import Subscription
from asd_edge.sinks.link.troubles import denial, trouble_of
from asd_edge.sinks.link.turns import Turns
from asd_edge.sinks.payloads import LinkReport, Message

_log = logging.getLogger(__name__)

_ANSWER_S = 15.0  # a broker that has not answered by then hangs
_ACKNOWLEDGE_S = 60.0  # or twice the keep-alive, which is what paho gives a PINGREQ: whichever is less
_STANDS_AFTER_S = 10.0  # of use: some brokers take a connection, even a message, and cut it again
_STOP_PATIENCE_S = 1.0

MqttVersion = Literal["5", "3.1.1"]


class LinkOwner(Protocol):
    """Who uses the link. Everything is called in the owner's thread."""

    def will(self) -> Message:
        """Return the last will of the CONNECT that goes out now."""
        ...

    def on_up(self) -> None:
        """Hear that the broker has accepted the connection."""
        ...

    def on_down(self) -> None:
        """Hear that an accepted connection is over; the link has said why."""
        ...

    def on_acknowledged(self, mid: int, refusal: str | None) -> None:
        """Hear the broker's answer to a message of QoS 1; `refusal` is told by MQTT 5 only."""
        ...


class Link:
    """The connection of one destination.

    Args:
        config: the brokers and how to talk to them.
        client_id: the same for every connection: a broker then throws out what is left of the one before.
        owner: hears what happens.
        do: lets the owner's thread do something soon; called from any thread, returns at once.
        ask: whether the first connection to a broker may be without a will, to ask for its version of MQTT.

    Raises:
        SinkError: the password or a TLS file cannot be read.
    """

    def __init__(
        self,
        config: BrokerTable,
        client_id: str,
        owner: LinkOwner,
        do: Callable[[Callable[[], None]], None],
        *,
        ask: bool = True,
    ) -> None:
        self.subscriptions: list[Subscription] = []
        """What is listened to, from the first connection on."""
        self._ask = ask
        self._config, self._client_id, self._owner, self._do = config, client_id, owner, do
        self._spoken: dict[Server, MqttVersion] = {}  # what each broker was found to speak
        self._clock = AwakeClock()
        self._turns = Turns(len(config.servers))
        self._patience_s = min(_ACKNOWLEDGE_S, 2.0 * config.keepalive_s)
        self._connection: Connection | None = None
        self._trouble: str | None = None
        new_client(config, config.protocol, client_id)  # what is wrong with its files is said now

    # --- called in the owner's thread ---

    @property
    def report(self) -> LinkReport:
        """How the device talks to the broker, or would. Read by other threads too."""
        connection = self._connection  # which may be gone at any moment
        server = self._next_server if connection is None else connection.server
        protocol = self._protocol(server)
        return LinkReport(
            str(server),
            protocol,
            fallback=protocol != self._config.protocol,
            connected=connection is not None and connection.useful_since is not None,
            denials_visible=protocol == "5",
            trouble=self._trouble,
        )

    @property
    def largest_packet(self) -> int | None:
        """Bytes of the largest packet that the broker takes; None when it has named no limit."""
        return None if self._connection is None else self._connection.largest_packet

    def tick(self) -> None:
        """Connect when it is time to, and leave a broker that hangs; called a few times a second."""
        now = self._clock.tick(monotonic())
        connection = self._connection
        if connection is None:
            if now >= self._turns.at:
                self._connect()
        elif not connection.alive:
            self._do(partial(self.ended, connection, "its thread ended"))  # behind the true reason, if it gave one
        elif not connection.accepted:
            if now - connection.since > _ANSWER_S:
                self._spoken.pop(connection.server, None)
                self._leave(connection, f"no answer for {_ANSWER_S:.0f} s")
        elif connection.unanswered.waited_s(now) > self._patience_s:
            self._leave(connection, f"no acknowledgement for {self._patience_s:.0f} s")
        elif not connection.stood and connection.useful_s(now) >= _STANDS_AFTER_S:
            connection.stood = True
            self._turns.stands()
            self._trouble = self._trouble if connection.complained else None

    def publish(self, message: Message, *, qos: int = 1) -> int:
        """Hand a message to the broker; return its number, which `on_acknowledged` hears."""
        assert self._connection is not None
        mid = self._connection.client.publish(message.topic, message.payload, qos=qos, retain=message.retain).mid
        if qos > 0:
            self._connection.unanswered.sent(mid, message.topic, self._clock.now)
        return mid

    def is_useful(self) -> None:
        """Note that the broker takes messages, or that nothing speaks against it."""
        if self._connection is not None:
            self._connection.useful_since = self._clock.now

    def close(self, *, orderly: bool = True) -> None:
        """End the connection, and connect no more; without `orderly` the broker publishes the last will."""
        connection, self._connection = self._connection, None
        self._turns.at = float("inf")
        if connection is None:
            return
        if orderly:
            connection.client.disconnect()
        else:
            leave_it_to_the_will(connection.client, self._protocol(connection.server))
        connection.join(_STOP_PATIENCE_S)

    def next_server(self, reason: str) -> None:
        """Leave this broker for the next one, after what was handed to it; with MQTT 5 it publishes the will too."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._protocol(connection.server) == "5":
            leave_it_to_the_will(connection.client, "5")
        else:
            connection.client.disconnect()
        _log.warning("[%s] Leaving the broker at %s: %s", self._config.name, connection.server, reason)
        self._turns.failed(self._clock.now)
        self._owner.on_down()

    def warn(self, found: str, expected: str, remedy: str) -> None:
        """Say once, not at every attempt, what is wrong with the broker."""
        connection = self._connection
        if connection is not None:
            connection.complained = connection.accepted
        if found != self._trouble:
            self._trouble = found
            server = self._next_server if connection is None else connection.server
            _log.warning("%s", broker_error(self._config.name, server, found, expected, remedy))

    # --- of the connection, in the owner's thread ---

    def connecting(self, connection: Connection) -> bool:
        """Give it its will, unless it is not wanted any more."""
        if connection is not self._connection:
            return False
        if not connection.asking:
            will = self._owner.will()
            connection.client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        return True

    def answered(self, connection: Connection, refusal: str | None) -> None:
        """Take the connection into use, or not."""
        if connection is not self._connection:
            return
        connection.refused = refusal is not None
        if refusal == VERSION_REFUSED and self._protocol(connection.server) == "5":
            connection.fell_back = True
            words = "[%s] The broker at %s does not speak MQTT 5; falling back to MQTT 3.1.1"
            _log.warning(words, self._config.name, connection.server)
            self._spoken[connection.server] = "3.1.1"
        elif refusal is not None:
            self.warn(refusal, "the broker to accept the connection", "Check the user name, the password and the ACL.")
        elif connection.asking:
            connection.accepted = True
            self._spoken[connection.server] = "5"
            connection.client.disconnect()
        else:
            connection.accepted = True
            for subscription in self.subscriptions:
                subscription.subscribe(connection.client, self._protocol(connection.server))
            self._owner.on_up()

    def acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        """Pass on what the broker says to a message."""
        if connection is self._connection:
            topic = connection.unanswered.answered(mid, self._clock.now)
            if refusal is not None and topic is not None and not connection.denied:
                connection.denied = True  # the first says enough: there is a score every second
                self.warn(*denial(refusal, topic))
            self._owner.on_acknowledged(mid, refusal)

    def deaf(self, connection: Connection, reason: str) -> None:
        """Say that the broker does not let us listen."""
        if connection is not self._connection:
            return
        topics = ", ".join(subscription.topic for subscription in self.subscriptions)
        self.warn(reason, "permission to subscribe", f"Allow reading {topics}.")

    def ended(self, connection: Connection, reason: str) -> None:
        """Go on with the next one, now or later."""
        if connection is not self._connection:
            return
        self._connection = None
        if connection.fell_back or (connection.asking and connection.accepted):  # now in its version, and for good
            self._connect()
            return
        if not connection.refused:
            names = {"client_id": self._client_id, "name": self._config.name}
            self.warn(*trouble_of(reason, accepted=connection.accepted, **names))
        (self._turns.lost if connection.stood else self._turns.failed)(self._clock.now)
        if connection.accepted:
            self._owner.on_down()

    # --- how ---

    @property
    def _next_server(self) -> Server:
        return self._config.servers[self._turns.server]

    def _protocol(self, server: Server) -> MqttVersion:
        return self._spoken.get(server, self._config.protocol)

    def _connect(self) -> None:
        server = self._next_server
        # A broker of 3.1.1 refuses MQTT 5, but some (amqtt) never answer when the CONNECT holds a will, so the
        # first connection has none and only asks for the version.
        asking = self._ask and self._config.protocol == "5" and server not in self._spoken
        client = new_client(self._config, self._protocol(server), self._client_id, reconnect=False)
        connection = self._connection = Connection(
            client, server, self._config.keepalive_s, self, self._do, self.subscriptions, asking=asking
        )
        connection.since = self._clock.now
        connection.start()

    def _leave(self, connection: Connection, reason: str) -> None:
        """Go on with the next server; this one hangs, so no word is sent to it."""
        connection.stood = False
        shut(connection.client)
        self.ended(connection, reason)
