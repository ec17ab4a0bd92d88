"""One look at a broker before it is used: whether it lets the device in, and lets it publish."""

from __future__ import annotations

import uuid
from queue import Empty, SimpleQueue
from typing import Any, Literal

from paho.mqtt.reasoncodes import ReasonCode

from asd_edge.config import BrokerTable, MqttTable, SparkplugTable
from asd_edge.credentials import credential
from asd_edge.sinks.link.mqtt_client import (
    CLOSED_AT_ONCE,
    VERSION_REFUSED,
    broker_error,
    check_protocol,
    connection_failure,
    new_client,
    stop_loop,
)
from asd_edge.sinks.link.troubles import denial


def probe(config: BrokerTable, topic: str | None = None, *, timeout_s: float = 10.0) -> str:
    """Connect once under a name of its own, publish an empty message, disconnect; return the protocol that was spoken.

    Args:
        config: the broker.
        topic: where to publish, with QoS 1 and not retained; None to publish nothing. With MQTT 3.1.1 brokers
            acknowledge what they forbid, too.
        timeout_s: patience with each of the two.

    Raises:
        SinkError: the broker cannot be reached, refuses the connection, or forbids to publish there.
    """
    spoken: str = config.protocol
    refusal = _try(config, config.protocol, topic, timeout_s)
    if refusal == VERSION_REFUSED and config.protocol == "5":
        spoken = "3.1.1 (the broker does not speak 5)"
        refusal = _try(config, "3.1.1", topic, timeout_s)
    if refusal is not None:
        reach = f"Start the broker, or correct host, port, user and TLS files under [{config.name}]."
        remedy = check_protocol(config.name) if refusal == CLOSED_AT_ONCE else reach
        expected = "a broker that accepts the connection"
        raise broker_error(config.name, config.servers[0], refusal, expected, remedy)
    return spoken


def probe_topic(config: MqttTable | SparkplugTable, device: str) -> str:
    """Return a topic that a device must be allowed to write to, and to which nobody listens."""
    if isinstance(config, SparkplugTable):  # no type of a message of Sparkplug; the example ACL allows every type
        return f"spBv1.0/{config.group}/CHECK/{config.edge_node or device}"
    return f"{config.prefix}/{device}/check"


def identity(config: BrokerTable) -> str:
    """Return as whom the device appears at the broker: its user name, the CN of its certificate."""
    known = [] if config.username is None else [f"user {config.username}"]
    if config.tls is not None and config.tls.cert_file is not None:
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        subject = x509.load_pem_x509_certificate(credential(config.tls.cert_file).read_bytes()).subject
        names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        known.append(f"certificate of {names[0].value!s}" if names else "a certificate without a CN")
    return ", ".join(known) or "anonymous"


def _try(config: BrokerTable, protocol: Literal["5", "3.1.1"], topic: str | None, timeout_s: float) -> str | None:
    """Return why the connection is refused, None when it is not."""
    answers: SimpleQueue[str | None] = SimpleQueue()  # to the CONNECT, then to the message

    def on_connect(_c: Any, _u: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        answers.put(str(reason) if reason.is_failure else None)

    def on_publish(_c: Any, _u: Any, _mid: int, reason: ReasonCode, _properties: Any) -> None:
        answers.put(str(reason) if reason.is_failure else None)

    client = new_client(config, protocol, f"asd-edge-check-{uuid.uuid4().hex[:12]}")
    client.on_connect, client.on_publish = on_connect, on_publish
    client.on_connect_fail = lambda _c, _u: answers.put(connection_failure())
    client.on_disconnect = lambda *_: answers.put(CLOSED_AT_ONCE)  # after the last answer nobody reads this
    client.connect_async(config.host, config.port, keepalive=config.keepalive_s)
    client.loop_start()
    try:
        refusal = answers.get(timeout=timeout_s)
        if refusal is not None or topic is None:
            return refusal
        client.publish(topic, b"", qos=1)
        refusal = answers.get(timeout=timeout_s)
    except Empty:
        return f"no answer for {timeout_s:.0f} s"
    finally:
        client.disconnect()
        stop_loop(client)
    if refusal is not None:
        found, expected, remedy = denial(refusal, topic)
        raise broker_error(config.name, config.servers[0], f"{found}, as {identity(config)}", expected, remedy)
    return None
