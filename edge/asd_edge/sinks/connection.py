"""One connection to a broker: a paho client of its own, and a thread whose life is the connection's.

Nothing of an old connection is left in paho's queues, and whatever ends the thread, an exception inside paho too, ends
the connection and is seen.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from time import monotonic
from typing import Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from asd_edge.config import Server
from asd_edge.sinks.mqtt_client import CLOSED_AT_ONCE
from asd_edge.sinks.subscription import Subscription

_ROUND_S = 1.0  # keep-alives are looked after so often


class Listener(Protocol):
    """Who hears of a connection. Everything is called in the connection's thread and must return at once."""

    def answered(self, connection: Connection, refusal: str | None) -> None:
        """Hear the broker's answer to the CONNECT."""
        ...

    def acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        """Hear the broker's answer to a message."""
        ...

    def deaf(self, connection: Connection, refusal: str) -> None:
        """Hear that the broker does not let us listen."""
        ...

    def ended(self, connection: Connection, reason: str) -> None:
        """Hear that it is over; called once."""
        ...


class Connection:
    """A connection from its attempt to its end.

    Args:
        client: a client that is used for nothing else.
        server: where the broker is.
        keepalive_s: of MQTT.
        listener: hears of it.
        subscriptions: what it will be asked to listen to.
        asking: whether it only asks for the version of MQTT.
    """

    def __init__(
        self,
        client: paho.Client,
        server: Server,
        keepalive_s: int,
        listener: Listener,
        subscriptions: Sequence[Subscription],
        *,
        asking: bool,
    ) -> None:
        self.client, self.server, self.asking = client, server, asking
        self.since = monotonic()
        # Set by who listens, in his own thread:
        self.accepted = False  # by the broker
        self.refused = False
        self.fell_back = False  # the broker does not speak MQTT 5
        self._keepalive_s, self._listener = keepalive_s, listener
        self._answered = False
        self._end: str | None = None  # the first reason that paho gave
        self._thread = threading.Thread(target=self._run, name=f"link-{server}", daemon=True)
        self._call_back(subscriptions)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def join(self, patience_s: float) -> None:
        """Wait for its end for a while: a dead link or a silent name server may hold it, and it is left behind."""
        self._thread.join(patience_s)

    def _call_back(self, subscriptions: Sequence[Subscription]) -> None:
        def on_connect(_c: object, _u: object, _flags: object, reason: ReasonCode, _properties: object) -> None:
            self._answered = True
            self._listener.answered(self, str(reason) if reason.is_failure else None)

        def on_publish(_c: object, _u: object, mid: int, reason: ReasonCode, _properties: object) -> None:
            self._listener.acknowledged(self, mid, str(reason) if reason.is_failure else None)

        def on_disconnect(_c: object, _u: object, _flags: object, reason: ReasonCode, _properties: object) -> None:
            self._end = self._end or str(reason)

        self.client.on_connect = on_connect
        self.client.on_publish = on_publish
        self.client.on_disconnect = on_disconnect
        for subscription in subscriptions:
            subscription.listen_to(self.client, lambda refusal: self._listener.deaf(self, refusal))

    def _run(self) -> None:
        try:
            self._serve()
            reason = (self._end or "closed") if self._answered else CLOSED_AT_ONCE
        except Exception as error:
            reason = str(error) or type(error).__name__
        self._listener.ended(self, reason)

    def _serve(self) -> None:
        """Connect, then read and write until it is over."""
        woken, waker = socket.socketpair()
        with closing(woken), closing(waker):
            waker.setblocking(False)

            def wake(*_: object) -> None:
                """Be called by paho when another thread has put something into its queue."""
                with suppress(OSError):  # full: it will wake anyway; closed: the connection is over
                    waker.send(b"\0")

            self.client.on_socket_register_write = wake
            self.client.connect(self.server.host, self.server.port, keepalive=self._keepalive_s)
            while self._round(woken):
                pass

    def _round(self, woken: socket.socket) -> bool:
        """Do what can be done now, or wait for it; return whether the connection stands."""
        client = self.client
        connection = client.socket()
        if connection is None:
            return False
        poller = select.poll()
        poller.register(woken, select.POLLIN)
        poller.register(connection, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        decrypted = getattr(connection, "pending", lambda: 0)()  # TLS has read more from the socket than it gave us
        ready = dict(poller.poll(0 if decrypted else 1000.0 * _ROUND_S))
        if woken.fileno() in ready:
            woken.recv(4096)
        events = ready.get(connection.fileno(), 0)
        results = []
        if decrypted or events & ~select.POLLOUT:
            results.append(client.loop_read())
        if events & select.POLLOUT:
            results.append(client.loop_write())
        results.append(client.loop_misc())
        return all(result == MQTTErrorCode.MQTT_ERR_SUCCESS for result in results)
