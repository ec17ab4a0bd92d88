"""A topic that a device may listen to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic, and who takes what arrives there: the payload, and whether the broker had kept it (retained).

    `arrived` is called in paho's network thread and must return at once.
    """

    topic: str
    arrived: Callable[[bytes, bool], None]

    def listen_to(self, client: paho.Client, denied: Callable[[str], None]) -> None:
        """Hear a client; `denied` is told when the broker does not allow it."""

        def on_message(_c: Any, _u: Any, message: paho.MQTTMessage) -> None:
            self.arrived(bytes(message.payload), message.retain)

        def on_subscribe(_c: Any, _u: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
            for reason in reasons:
                if reason.is_failure:
                    denied(str(reason))

        client.message_callback_add(self.topic, on_message)
        client.on_subscribe = on_subscribe

    def subscribe(self, client: paho.Client, protocol: Literal["5", "3.1.1"]) -> None:
        """Ask the broker for the topic; once for each connection, which is all that a broker remembers it for."""
        if protocol == "5":  # a message is then marked as retained even if we were there when it was published
            client.subscribe(self.topic, options=SubscribeOptions(qos=1, retainAsPublished=True))
        else:
            client.subscribe(self.topic, qos=1)
