"""Somebody who listens to Sparkplug messages, and reads them with the published schema."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.edge.sparkplug_schema import SparkplugMessage, payload_class


@dataclass(frozen=True)
class Heard(SparkplugMessage):
    topic: str
    data: bytes
    retained: bool

    def values(self, *, historical: bool = False) -> dict[str, Any]:
        """The values by name; None for null."""
        found = [metric for metric in self.payload.metrics if metric.is_historical == historical]
        return {m.name: None if m.is_null else getattr(m, m.WhichOneof("value")) for m in found}

    def quality(self, name: str) -> int:
        (metric,) = [metric for metric in self.payload.metrics if metric.name == name]
        return int(metric.properties.values[list(metric.properties.keys).index("Quality")].int_value)


class SparkplugListener:
    """Collects every message of a group."""

    def __init__(self, port: int, group: str = "plant") -> None:
        self.heard: list[Heard] = []
        self._arrived = threading.Condition(threading.RLock())
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        subscribed = threading.Event()
        self._client.on_message = self._keep
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(f"spBv1.0/{group}/#", qos=1)
        self._client.loop_start()
        assert subscribed.wait(10)

    def _keep(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        with self._arrived:
            self.heard.append(Heard(message.topic, bytes(message.payload), message.retain))
            self._arrived.notify_all()

    def of(self, *kinds: str) -> list[Heard]:
        with self._arrived:
            return [message for message in self.heard if message.kind in kinds]

    def wait(self, kind: str, wanted: Callable[[Heard], bool] = lambda _: True, timeout_s: float = 15.0) -> Heard:
        """Return the first message of a kind that is wanted."""
        found: list[Heard] = []

        def arrived() -> bool:
            found[:] = [message for message in self.of(kind) if wanted(message)]
            return bool(found)

        with self._arrived:
            if not self._arrived.wait_for(arrived, timeout_s):
                pytest.fail(f"no wanted {kind} within {timeout_s} s; there was {[m.topic for m in self.heard][-9:]}")
        return found[0]

    def clear(self) -> None:
        with self._arrived:
            self.heard.clear()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def ask_for_rebirth(self) -> None:
        metric = {"name": "Node Control/Rebirth", "datatype": 11, "boolean_value": True}
        self.publish("spBv1.0/plant/NCMD/box", payload_class()(metrics=[metric]).SerializeToString())

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
