"""paho's network loop in a thread of ours: it ends when the connection does, and whatever it raises is seen."""

from __future__ import annotations

import select
import socket
from contextlib import closing, suppress

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from asd_edge.config import Server

_ROUND_S = 1.0  # keep-alives are looked after so often


def serve(client: paho.Client, server: Server, keepalive_s: int) -> None:
    """Connect, then read and write until the connection is over. paho's callbacks are called in this thread.

    Raises:
        OSError: the broker cannot be reached, or TLS fails.
        ValueError: the host is no host.
    """
    woken, waker = socket.socketpair()
    with closing(woken), closing(waker):
        waker.setblocking(False)

        def wake(*_: object) -> None:
            """Be called by paho when another thread has put something into its queue."""
            with suppress(OSError):  # full: it will wake anyway; closed: the connection is over
                waker.send(b"\0")

        client.on_socket_register_write = wake
        client.connect(server.host, server.port, keepalive=keepalive_s)
        while _round(client, woken):
            pass


def _round(client: paho.Client, woken: socket.socket) -> bool:
    """Do what can be done now, or wait for it; return whether the connection stands."""
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
