"""Listen to what a broker passes on: the demo sees exactly what a control room would."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from asd_edge.errors import SinkError


@contextmanager
def listening(
    port: int, topic: str, arrived: Callable[[str, dict[str, Any]], None], *, timeout_s: float = 10.0
) -> Iterator[None]:
    """Call `arrived` with topic and payload of each JSON message that a broker on this machine passes on.

    `arrived` is called in paho's thread, and only for messages published from now on (nothing retained).

    Raises:
        SinkError: the broker does not let us subscribe.
    """
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.suppress_exceptions = True
    client.on_subscribe = lambda *_: subscribed.set()

    def on_connect(*_: Any) -> None:
        client.subscribe(topic, qos=1)

    def on_message(_client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        if not message.retain:
            arrived(message.topic, json.loads(message.payload))

    client.on_connect = on_connect
    client.on_message = on_message
    client.connect_async("127.0.0.1", port)
    client.loop_start()
    try:
        if not subscribed.wait(timeout_s):
            raise SinkError(
                f"Cannot subscribe to {topic} at 127.0.0.1:{port}",
                found=f"no answer for {timeout_s:.0f} s",
                expected="a broker that lets everybody on this machine read",
                remedy="Choose another --port.",
            )
        yield
    finally:
        client.disconnect()
        client.loop_stop()
