"""What the end of a connection says, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from asd_edge.sinks.link.mqtt_client import CLOSED_AT_ONCE, check_protocol

_START_IT = "Start the broker, or correct host and port; connecting is tried again until then."
_TWIN = "Look for another device with this id, and give it one of its own."


class Trouble(NamedTuple):
    """What was found, what was expected, and the remedy."""

    found: str
    expected: str
    remedy: str


def trouble_of(end: str, *, accepted: bool, client_id: str, name: str) -> Trouble:
    """Return what is wrong.

    Args:
        end: of the connection, in paho's words: the name of a reason code of MQTT 5, or of an exception.
        accepted: whether the broker had taken the connection.
        client_id: under which it was made.
        name: of the broker's table.
    """
    if end == CLOSED_AT_ONCE:
        return Trouble(end, "a broker that takes messages", check_protocol(name))
    if end == "Session taken over":  # 0x8E
        return Trouble(
            f"{end}: another client connects as {client_id}",
            "a device.id for each device",
            _TWIN,
        )
    if end == "Packet too large":  # 0x95
        return Trouble(
            end, "a broker that takes whatever a device says", "Let the broker take larger packets: docs/mqtt.md."
        )
    if accepted:
        found = "the connection broke" if end == "Unspecified error" else end
        # MQTT 3.1.1, and mosquitto 2.0.11 with MQTT 5 too, close without a word where a session is taken over.
        remedy = f"Look into the broker's log. If something else connects as {client_id}: {_TWIN}"
        return Trouble(found, "a broker that keeps the connection", remedy)
    return Trouble(end, "a broker that answers", _START_IT)


def denial(refusal: str, topic: str) -> Trouble:
    """Return what is wrong when the broker does not take a message."""
    allowed = "the example ACL allows it when the certificate's CN is device.id, and Sparkplug's group asd-edge"
    return Trouble(f"{refusal}: {topic}", "permission to publish", f"Allow writing to {topic}; {allowed}.")
