"""A SCADA system's side: a subscriber whose session the broker keeps while it is away."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.soak.ledger import Ledger

_FOREVER = 0xFFFFFFFF  # seconds of session expiry: never (MQTT 5.0, 3.1.2.11.2)


class Subscriber:
    """Writes everything that comes into a ledger, and keeps the newest status."""

    def __init__(self, port: int, topic: str = "asd-edge/box/#") -> None:
        self.ledger = Ledger()
        self.status: dict[str, Any] = {}
        self.failures: list[str] = []
        self.stops: dict[str, int] = {}  # machine → last sample of its newest score
        self._topic = topic
        self._lock = threading.Lock()
        self._subscribed = threading.Event()
        self._last = time.monotonic()
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="soak", protocol=MQTTProtocolVersion.MQTTv5
        )
        client.reconnect_delay_set(0.1, 0.5)  # type: ignore[arg-type]  # fractions work
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        expiry = Properties(PacketTypes.CONNECT)
        expiry.SessionExpiryInterval = _FOREVER
        client.connect("127.0.0.1", port, keepalive=5, clean_start=False, properties=expiry)
        client.loop_start()
        if not self._subscribed.wait(10):
            raise RuntimeError("the broker did not take the subscription")

    def quiet_s(self) -> float:
        """Return for how long nothing has come."""
        return time.monotonic() - self._last

    def heard_s(self, rate: int) -> float:
        """Return how many seconds of sound the machine that is furthest behind was heard for."""
        with self._lock:
            return min(self.stops.values(), default=0) / rate

    def close(self) -> None:
        """End the connection, and let what came be written down."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, _u: Any, flags: Any, _reason: Any, _properties: Any) -> None:
        if not flags.session_present:
            client.subscribe(self._topic, qos=1)

    def _on_message(self, _client: Any, _u: Any, message: paho.MQTTMessage) -> None:
        try:
            self._take(message)
        except Exception as error:  # one in a callback would end the network thread, and nobody would know
            self.failures.append(f"{message.topic}: {type(error).__name__}: {error}: {message.payload[:200]!r}")

    def _take(self, message: paho.MQTTMessage) -> None:
        payload, kind = json.loads(message.payload), message.topic.rpartition("/")[2]
        self._last = time.monotonic()
        with self._lock:
            if kind == "status":
                self.status = payload
                return
            events = payload["events"] if kind == "history" else [payload]
            if message.retain and kind == "alarm":  # the state as it stands, not a message of the stream
                return
            stream = {"alarm": "alarms", "event": "alarms", "score": "live", "history": "history"}.get(kind)
            if stream is None:
                return
            for event in events:
                self.ledger.take(stream, event)
                if "stop" in event:
                    self.stops[event["machine"]] = max(event["stop"], self.stops.get(event["machine"], 0))
