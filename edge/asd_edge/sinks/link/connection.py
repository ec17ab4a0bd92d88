"""One connection to a broker: a paho client of its own, and a thread whose life is the connection's.

Nothing of an old connection is left in paho's queues, and whatever ends the thread, an exception inside paho too, ends
the connection and is seen.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from asd_edge.config import Server
from asd_edge.sinks.link.mqtt_client import CLOSED_AT_ONCE, shut
from asd_edge.sinks.link.patience import Unanswered
from asd_edge.sinks.link.subscription import Subscription

_ROUND_S = 1.0  # keep-alives are looked after so often
_LARGEST_PACKET = 65_536  # bytes; the broker throws away what is larger, instead of filling our memory with it
_MOST_IN_FLIGHT = 20  # messages of QoS 1 on the wire
_LISTENER_S = 15.0  # for an answer; his disk may be slow


class Listener(Protocol):
    """Who hears of a connection, in his own thread."""

    def connecting(self, connection: Connection) -> bool:
        """Hear that the CONNECT goes out next: set its will; return whether the connection is wanted."""
        ...

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
        """Hear that it is over."""
        ...


class Connection:
    """A connection from its attempt to its end.

    Args:
        client: a client that is used for nothing else.
        server: where the broker is.
        keepalive_s: of MQTT.
        listener: hears of it.
        do: lets the listener's thread do something soon; returns at once.
        subscriptions: what it will be asked to listen to.
        asking: whether it only asks for the version of MQTT.
    """

    def __init__(
        self,
        client: paho.Client,
        server: Server,
        keepalive_s: int,
        listener: Listener,
        do: Callable[[Callable[[], None]], None],
        subscriptions: Sequence[Subscription],
        *,
        asking: bool,
    ) -> None:
        self.client, self.server, self.asking = client, server, asking
        self.largest_packet: int | None = None  # that the broker takes, if it has said so
        # Set by who listens, in his own thread and by his clock:
        self.since = 0.0
        self.accepted = False  # by the broker
        self.refused = False
        self.fell_back = False  # the broker does not speak MQTT 5
        self.useful_since: float | None = None
        self.stood = False  # useful for long enough
        self.denied = False  # a message, and it was said
        self.complained = False  # about what goes on for as long as it stands
        self.unanswered = Unanswered()
        self._keepalive_s, self._listener, self._do = keepalive_s, listener, do
        self._answered = False
        self._end: str | None = None  # the first reason that paho gave
        self._thread = threading.Thread(target=self._run, name=f"link-{server}", daemon=True)
        self._call_back(subscriptions)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def useful_s(self, now: float) -> float:
        """Return for how long it has been of use."""
        return 0.0 if self.useful_since is None else now - self.useful_since

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def join(self, patience_s: float) -> None:
        """Wait for its end for a while: a dead link or a silent name server may hold it, and it is left behind."""
        self._thread.join(patience_s)

    def _call_back(self, subscriptions: Sequence[Subscription]) -> None:
        def on_connect(_c: object, _u: object, _flags: object, reason: ReasonCode, properties: object) -> None:
            self._answered = True
            self.largest_packet = getattr(properties, "MaximumPacketSize", None)
            most = getattr(properties, "ReceiveMaximum", _MOST_IN_FLIGHT)
            # paho does not look at this, and its setter refuses while connected: between two limits above 0 it may.
            self.client._max_inflight_messages = min(_MOST_IN_FLIGHT, most)
            self._do(partial(self._listener.answered, self, str(reason) if reason.is_failure else None))

        def on_socket_open(_c: object, _u: object, _socket: object) -> None:
            if not self._is_wanted():
                shut(self.client)

        def on_publish(_c: object, _u: object, mid: int, reason: ReasonCode, _properties: object) -> None:
            self._do(partial(self._listener.acknowledged, self, mid, str(reason) if reason.is_failure else None))

        def on_disconnect(_c: object, _u: object, _flags: object, reason: ReasonCode, _properties: object) -> None:
            self._end = self._end or str(reason)

        self.client.on_socket_open = on_socket_open
        self.client.on_connect = on_connect
        self.client.on_publish = on_publish
        self.client.on_disconnect = on_disconnect
        for subscription in subscriptions:
            subscription.listen_to(self.client, lambda refusal: self._do(partial(self._listener.deaf, self, refusal)))

    def _is_wanted(self) -> bool:
        """Let the listener set the will, only now: one that is made out is in the CONNECT, not in a vain attempt."""
        answered, wanted = threading.Event(), [False]

        def ask() -> None:
            wanted[0] = self._listener.connecting(self)
            answered.set()

        self._do(ask)
        answered.wait(_LISTENER_S)
        return wanted[0]

    def _run(self) -> None:
        try:
            self._serve()
            reason = (self._end or "closed") if self._answered else CLOSED_AT_ONCE
        except Exception as error:
            reason = str(error) or type(error).__name__
        self._do(partial(self._listener.ended, self, reason))

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
            limits: Properties | None = None
            if (
                self.client.protocol == MQTTProtocolVersion.MQTTv5 and not self.asking
            ):  # which an old one would not read
                limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's gap
                limits.MaximumPacketSize = _LARGEST_PACKET
            self.client.connect(self.server.host, self.server.port, self._keepalive_s, properties=limits)
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
