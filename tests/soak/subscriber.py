"""A SCADA system's side: a subscriber whose session the broker keeps while it is away."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.soak.ledger import Ledger

_FOREVER = 0xFFFFFFFF  # seconds of session expiry: never (MQTT 5.0, 3.1.2.11.2)
_STREAMS = {"alarm": "alarms", "event": "alarms", "score": "live", "history": "history"}


class Arrival(NamedTuple):
    """A message that came: when, with how many events, and the time of the newest of them; UTC seconds."""

    stream: str
    at: float
    events: int
    sent: float


class Subscriber:
    """Writes every event that comes into a ledger, and keeps the newest status."""

    def __init__(self, port: int, topic: str = "asd-edge/box/#") -> None:
        self.ledger = Ledger()
        self.status: dict[str, Any] = {}
        self.arrivals: list[Arrival] = []
        self.failures: list[str] = []
        self._counts: Counter[str] = Counter()
        self._stops: dict[str, int] = {}  # machine → last sample of its newest score
        self._starts: dict[str, set[int]] = defaultdict(set)  # machine → first samples of its scores
        self._topic = topic
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

    def count(self, stream: str) -> int:
        """Return how many new events came in a stream."""
        return self._counts[stream]

    def quiet_s(self) -> float:
        """Return for how long nothing has come."""
        return time.monotonic() - self._last

    def history_quiet_s(self) -> float:
        """Return for how long no history has come."""
        return time.time() - max((a.at for a in self.arrivals if a.stream == "history"), default=0.0)

    def heard_s(self, rate: int) -> float:
        """Return how many seconds of sound the machine that is furthest behind was heard for."""
        return min(dict(self._stops).values(), default=0) / rate

    def gaps(self) -> int:
        """Return how many scores lie between those that came, by their samples, and never came."""
        missing = 0
        for starts in self._starts.values():
            step = min(second - first for first, second in pairwise(sorted(starts)))
            missing += (max(starts) - min(starts)) // step + 1 - len(starts)
        return missing

    def come_back(self) -> None:
        """Connect again after `close`."""
        self._client.reconnect()
        self._client.loop_start()

    def close(self) -> None:
        """End the connection; the session stays."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, _u: Any, flags: Any, _reason: Any, _properties: Any) -> None:
        if not flags.session_present:
            client.subscribe(self._topic, qos=1)

    def _on_message(self, _client: Any, _u: Any, message: paho.MQTTMessage) -> None:
        try:
            self._take(message.topic, json.loads(message.payload), retained=message.retain)
        except Exception as error:  # one in a callback would end the network thread, and nobody would know
            self.failures.append(f"{message.topic}: {type(error).__name__}: {error}: {message.payload[:200]!r}")

    def _take(self, topic: str, payload: dict[str, Any], *, retained: bool) -> None:
        kind = topic.rpartition("/")[2]
        self._last = time.monotonic()
        if kind == "status":
            self.status = payload
        elif kind in _STREAMS and not retained:  # a retained alarm says how things stand, and is nothing new
            stream = _STREAMS[kind]
            events = [event["payload"] for event in payload["events"]] if kind == "history" else [payload]
            for event in events:
                self._counts[stream] += self.ledger.take(stream, event)
                if "stop" in event:
                    self._starts[event["machine"]].add(event["start"])
                    self._stops[event["machine"]] = max(event["stop"], self._stops.get(event["machine"], 0))
            self.arrivals.append(Arrival(stream, time.time(), len(events), _seconds(events[-1]["time"])))


def _seconds(utc: str) -> float:
    return datetime.fromisoformat(utc.replace("Z", "+00:00")).timestamp()
