"""Requests to a device and its responses, by somebody who has nothing else to do with the broker."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from time import monotonic
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from asd_edge.config import MqttTable
from asd_edge.errors import SinkError
from asd_edge.sinks.link.mqtt_client import broker_error, connection_failure, new_client, stop_loop
from asd_edge.sinks.topics import Topics

_PATIENCE_S = 10.0


@contextmanager
def exchange(config: MqttTable, topics: Topics) -> Iterator[Callable[[bytes, float], dict[str, Any]]]:
    """Connect; give a function that sends a request and waits so many seconds for the response to it.

    Both raise:
        SinkError: the broker cannot be used, or no response came in time.
    """
    client = new_client(config, config.protocol, f"asd-edge-remote-{uuid.uuid4().hex[:12]}")
    subscribed: Queue[str | None] = Queue()
    arrived: Queue[bytes] = Queue()

    def on_connect(_c: Any, _u: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            subscribed.put(str(reason))
        else:
            client.subscribe(topics.remote_response, qos=1)

    def on_subscribe(_c: Any, _u: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        subscribed.put(next((str(reason) for reason in reasons if reason.is_failure), None))

    def on_message(_c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        arrived.put(bytes(message.payload))

    def ask(request: bytes, patience_s: float) -> dict[str, Any]:
        client.publish(topics.remote_request, request, qos=1)
        deadline = monotonic() + patience_s
        while (left := deadline - monotonic()) > 0:
            try:
                response = _response(arrived.get(timeout=left), request)
            except Empty:
                break
            if response is not None:
                return response
        raise SinkError(
            f"The device {topics.device} does not answer",
            found=f"nothing on {topics.remote_response} for {patience_s:.0f} s",
            expected="a response",
            remedy="Check --device and --prefix, that [remote] is enabled there, and that the broker lets you write to"
            f" {topics.remote_request}. A command may have been done all the same: look at `conditions`.",
        )

    client.on_connect = on_connect
    client.on_connect_fail = lambda _c, _u: subscribed.put(connection_failure())
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.connect_async(config.host, config.port, keepalive=config.keepalive_s)
    client.loop_start()
    try:
        try:
            refusal = subscribed.get(timeout=_PATIENCE_S)
        except Empty:
            refusal = f"no answer for {_PATIENCE_S:.0f} s"
        if refusal is not None:
            remedy = "Correct the options of the connection, or the broker's ACL for this user."
            expected = f"permission to read {topics.remote_response}"
            raise broker_error(config.name, config.servers[0], refusal, expected, remedy)
        yield ask
    finally:
        client.disconnect()
        stop_loop(client)


def _response(payload: bytes, request: bytes) -> dict[str, Any] | None:
    """Return what has arrived if it answers our request; others may be asking too."""
    try:
        response = json.loads(payload)
    except ValueError:
        return None
    if isinstance(response, dict) and response.get("request") == hashlib.sha256(request).hexdigest():
        return response
    return None
