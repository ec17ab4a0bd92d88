"""One MQTT connection at a time, to the first of some brokers that takes it.

paho-mqtt is used as a transport only: pauses, failover and versions are decided here, in the owner's thread.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Literal, Protocol

from asd_edge.config import BrokerTable, Server
from asd_edge.sinks.connection import Connection
from asd_edge.sinks.mqtt_client import (
    CHECK_PROTOCOL,
    CLOSED_AT_ONCE,
    VERSION_REFUSED,
    broker_error,
    leave_it_to_the_will,
    new_client,
    shut,
)
from asd_edge.sinks.payloads import LinkReport, Message
from asd_edge.sinks.subscription import Subscription

_log = logging.getLogger(__name__)

_START_IT = "Start the broker, or correct host and port; connecting is tried again until then."
_LONGEST_PAUSE_S = 60.0
_ANSWER_S = 15.0  # a broker that has not answered by then hangs
_STOP_PATIENCE_S = 1.0

MqttVersion = Literal["5", "3.1.1"]


class LinkOwner(Protocol):
    """Who uses the link. Everything is called in the owner's thread."""

    def will(self) -> Message:
        """Return the last will of the connection that is about to be made."""
        ...

    def on_up(self) -> None:
        """Hear that the broker has accepted the connection."""
        ...

    def on_down(self, reason: str) -> None:
        """Hear that an accepted connection is over."""
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
        self._turn = 0  # which of the servers is next
        self._pauses = _pauses()
        self._retry_at = monotonic()
        self._connection: Connection | None = None
        self._trouble: str | None = None
        new_client(config, config.protocol, client_id)  # what is wrong with its files is said now

    # --- called in the owner's thread ---

    @property
    def report(self) -> LinkReport:
        """How the device talks to the broker, or would."""
        server = self._servers[self._turn] if self._connection is None else self._connection.server
        protocol = self._protocol(server)
        up = self._connection is not None and self._connection.accepted and not self._connection.asking
        return LinkReport(
            str(server),
            protocol,
            fallback=protocol != self._config.protocol,
            connected=up,
            denials_visible=protocol == "5",
            trouble=self._trouble,
        )

    def tick(self) -> None:
        """Connect when it is time to; called a few times a second."""
        now = monotonic()
        connection = self._connection
        if connection is None:
            if now >= self._retry_at:
                self._connect()
        elif not connection.alive:
            self._on_end(connection, "its thread ended")
        elif not connection.accepted and now - connection.since > _ANSWER_S:
            self._spoken.pop(connection.server, None)
            shut(connection.client)
            self._on_end(connection, f"no answer for {_ANSWER_S:.0f} s")

    def publish(self, message: Message, *, qos: int = 1) -> int:
        """Hand a message to the broker; return its number, which `on_acknowledged` hears."""
        assert self._connection is not None
        return self._connection.client.publish(message.topic, message.payload, qos=qos, retain=message.retain).mid

    def stands(self) -> None:
        """Note that the connection is of use: the next one is not put off for its sake."""
        self._pauses = _pauses()
        self._trouble = None

    def close(self, *, orderly: bool = True) -> None:
        """End the connection, and connect no more; without `orderly` the broker publishes the last will."""
        connection, self._connection = self._connection, None
        self._retry_at = float("inf")
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
        self._next_turn()
        self._owner.on_down(reason)

    def warn(self, found: str, expected: str, remedy: str) -> None:
        """Say once, not at every attempt, what is wrong with the broker."""
        if found != self._trouble:
            self._trouble = found
            server = self._servers[self._turn] if self._connection is None else self._connection.server
            _log.warning("%s", broker_error(server, found, expected, remedy))

    # --- called in the connection's thread ---

    def answered(self, connection: Connection, refusal: str | None) -> None:
        """Hand it over to the owner's thread, as all of these."""
        self._do(partial(self._on_answer, connection, refusal))

    def acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        """Hand over what the broker says to a message."""
        self._do(partial(self._on_acknowledged, connection, mid, refusal))

    def deaf(self, connection: Connection, refusal: str) -> None:
        """Hand over that the broker does not let us listen."""
        self._do(partial(self._on_deaf, refusal))

    def ended(self, connection: Connection, reason: str) -> None:
        """Hand over why the connection has ended."""
        self._do(partial(self._on_end, connection, reason))

    # --- how ---

    @property
    def _servers(self) -> tuple[Server, ...]:
        return self._config.servers

    def _protocol(self, server: Server) -> MqttVersion:
        return self._spoken.get(server, self._config.protocol)

    def _connect(self) -> None:
        server = self._servers[self._turn]
        # A broker of 3.1.1 refuses MQTT 5, but some (amqtt) never answer when the CONNECT holds a will, so the
        # first connection has none and only asks for the version.
        asking = self._ask and self._config.protocol == "5" and server not in self._spoken
        client = new_client(self._config, self._protocol(server), self._client_id, reconnect=False)
        if not asking:
            will = self._owner.will()
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        connection = self._connection = Connection(
            client, server, self._config.keepalive_s, self, self.subscriptions, asking=asking
        )
        connection.start()

    def _on_answer(self, connection: Connection, refusal: str | None) -> None:
        if connection is not self._connection:
            return
        connection.refused = refusal is not None
        if refusal == VERSION_REFUSED and self._protocol(connection.server) == "5":
            connection.fell_back = True
            _log.warning("The broker at %s does not speak MQTT 5; falling back to MQTT 3.1.1", connection.server)
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

    def _on_acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        if connection is self._connection:
            self._owner.on_acknowledged(mid, refusal)

    def _on_deaf(self, reason: str) -> None:
        topics = ", ".join(subscription.topic for subscription in self.subscriptions)
        self.warn(reason, "permission to subscribe", f"Allow reading {topics}.")

    def _on_end(self, connection: Connection, reason: str) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        if connection.fell_back or (connection.asking and connection.accepted):  # now in its version, and for good
            self._connect()
            return
        if connection.accepted:
            self._turn = 0
            self._retry_at = monotonic() + next(self._pauses)
            self._owner.on_down(reason)
            return
        self._next_turn()
        if not connection.refused:
            if reason == CLOSED_AT_ONCE:
                self.warn(reason, "a broker that takes messages", CHECK_PROTOCOL)
            else:
                self.warn(reason, "a broker that answers", _START_IT)

    def _next_turn(self) -> None:
        self._turn = (self._turn + 1) % len(self._servers)
        self._retry_at = monotonic() + (next(self._pauses) if self._turn == 0 else 0.0)


def _pauses() -> Iterator[float]:
    """Seconds before each round of attempts: about 1, 2, 4 … 60; a hall of devices must not come back in step."""
    pause = 2.0
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(2.0 * pause, _LONGEST_PAUSE_S)
