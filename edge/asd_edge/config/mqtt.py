"""The tables of a device file that say where events go: brokers, and the outbox before them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from asd_edge.config.tables import FilePath
from asd_edge.strict import Name, Strict


def _resolvable(host: str) -> str:
    try:
        host.encode("idna")  # as every connection does, too far from here to be reported
    except UnicodeError:
        raise ValueError(f"{host!r} has an empty or overlong part between its dots") from None
    if " " in host or not host.isprintable():
        raise ValueError(f"{host!r} has a space or a control character")
    return host


def _host_and_port(text: str) -> str:
    host, port = _parted(text)
    _resolvable(host)
    if port is not None and not 1 <= port <= 65_535:
        raise ValueError(f"{text!r} has a port that is not between 1 and 65535")
    return text


HostName = Annotated[str, AfterValidator(_resolvable)]
HostAndPort = Annotated[str, Field(min_length=1), AfterValidator(_host_and_port)]


@dataclass(frozen=True, slots=True)
class Server:
    """Where a broker listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as a user would write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TlsTable(Strict):
    """`[mqtt.tls]`, `[sparkplug.tls]`: encrypted connection; leave the table out for a plain one."""

    ca_file: FilePath | None = Field(default=None, description="Trusted certificates (PEM); the system's without it.")
    cert_file: FilePath | None = Field(default=None, description="This device's certificate (PEM); needs `key_file`.")
    key_file: FilePath | None = Field(default=None, description="This device's private key (PEM).")

    @model_validator(mode="after")
    def _paired(self) -> TlsTable:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("one of cert_file and key_file without the other")
        return self


class BrokerTable(Strict):
    """How a broker is reached: what `[mqtt]` and `[sparkplug]` have in common. `name` is the table's."""

    name: ClassVar[str]
    host: HostName = Field(default="127.0.0.1", min_length=1, description="Name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65_535, description="TCP port of the broker; usually 8883 with TLS.")
    fallbacks: Annotated[tuple[HostAndPort, ...], Field(strict=False, max_length=8)] = Field(
        default=(),
        description="Brokers to try in turn when that one cannot be used: `HOST` or `HOST:PORT`, same user and TLS.",
    )
    protocol: Literal["5", "3.1.1"] = Field(default="5", description='MQTT version, `"5"` or `"3.1.1"`.')
    username: str | None = Field(default=None, min_length=1, description="User name at the broker.")
    password_file: FilePath | None = Field(default=None, description="File that holds the password; needs `username`.")
    tls: TlsTable | None = Field(default=None, description="Table of the encrypted connection.")
    keepalive_s: int = Field(default=30, ge=5, le=3_600, description="MQTT keep-alive, seconds.")

    @model_validator(mode="after")
    def _guarded(self) -> BrokerTable:
        if self.password_file is not None and self.username is None:
            raise ValueError("a password_file without a username")
        return self

    @property
    def servers(self) -> tuple[Server, ...]:
        """The brokers, in the order in which they are tried."""
        others = ((host, port or self.port) for host, port in map(_parted, self.fallbacks))
        return (Server(self.host, self.port), *(Server(host, port) for host, port in others))


class MqttTable(BrokerTable):
    """`[mqtt]`: plain JSON topics."""

    name = "mqtt"
    enabled: bool = Field(default=True, description="Whether events are published as JSON at all.")
    prefix: str = Field(
        default="asd-edge",
        pattern=r"^[^+#/$\x00-\x1f][^+#\x00-\x1f]*$",
        max_length=200,
        description="First levels of every topic; no wildcards, not ending in `/`.",
    )
    home_assistant: Name | None = Field(
        default=None,
        description='First level of the topics in which Home Assistant discovers devices, usually `"homeassistant"`.',
    )

    @model_validator(mode="after")
    def _consistent(self) -> MqttTable:
        if self.prefix.endswith("/"):
            raise ValueError("a prefix that ends in '/'")
        return self


class SparkplugTable(BrokerTable):
    """`[sparkplug]`: a Sparkplug B edge node, on a connection of its own."""

    name = "sparkplug"
    enabled: bool = Field(default=False, description="Whether the device is a Sparkplug B edge node too.")
    group: Name = Field(default="asd-edge", description="Sparkplug group id; the rights at the broker name it too.")
    edge_node: Name | None = Field(default=None, description="Sparkplug edge node id; without it `device.id`.")
    primary_host: Name | None = Field(
        default=None,
        description="Host application whose STATE decides whether data goes out live; without it nobody's.",
    )


class OutboxTable(Strict):
    """`[outbox]`: what is kept on the disk until a broker has it, for each of JSON and Sparkplug."""

    max_mib: int = Field(default=512, ge=8, le=65_536, description="MiB of events; beyond, the oldest scores go first.")
    max_age_h: int = Field(
        default=168, ge=1, le=8_760, description="Hours of running after which an event that nobody took is given up."
    )
    replay_s: int = Field(
        default=60,
        ge=0,
        le=86_400,
        description="Seconds that a delivered event is kept, and sent again if the connection breaks: longer than the "
        "broker takes to save what it was given.",
    )
    history_kib_s: int = Field(
        default=2_048, ge=16, le=1_048_576, description="KiB a second at which events of an outage are sent after it."
    )


def _parted(text: str) -> tuple[str, int | None]:
    """Return host and port of `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`."""
    found = re.fullmatch(r"\[([^\]]+)\](?::(\d{1,5}))?|([^:]+)(?::(\d{1,5}))?", text)
    if found is None:
        raise ValueError(f"{text!r} is neither HOST nor HOST:PORT")
    port = found[2] or found[4]
    return found[1] or found[3], None if port is None else int(port)
