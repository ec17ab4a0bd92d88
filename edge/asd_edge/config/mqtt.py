"""The broker's tables of a device file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from asd_edge.config.tables import FilePath
from asd_edge.strict import Strict


def _resolvable(host: str) -> str:
    try:
        host.encode("idna")  # as every connection does, too far from here to be reported
    except UnicodeError:
        raise ValueError(f"{host!r} has an empty or overlong part between its dots") from None
    if " " in host or not host.isprintable():
        raise ValueError(f"{host!r} has a space or a control character")
    return host


HostName = Annotated[str, AfterValidator(_resolvable)]


class TlsTable(Strict):
    """`[mqtt.tls]`: encrypted connection; leave the table out for a plain one."""

    ca_file: FilePath | None = Field(default=None, description="Trusted certificates (PEM); the system's without it.")
    cert_file: FilePath | None = Field(default=None, description="This device's certificate (PEM); needs `key_file`.")
    key_file: FilePath | None = Field(default=None, description="This device's private key (PEM).")

    @model_validator(mode="after")
    def _paired(self) -> TlsTable:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("one of cert_file and key_file without the other")
        return self


class MqttTable(Strict):
    """`[mqtt]`: the broker."""

    host: HostName = Field(default="127.0.0.1", min_length=1, description="Name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65_535, description="TCP port of the broker; usually 8883 with TLS.")
    protocol: Literal["5", "3.1.1"] = Field(default="5", description='MQTT version, `"5"` or `"3.1.1"`.')
    prefix: str = Field(
        default="asd-edge",
        pattern=r"^[^+#/$\x00-\x1f][^+#\x00-\x1f]*$",
        max_length=200,
        description="First levels of every topic; no wildcards, not ending in `/`.",
    )
    username: str | None = Field(default=None, min_length=1, description="User name at the broker.")
    password_file: FilePath | None = Field(default=None, description="File that holds the password; needs `username`.")
    tls: TlsTable | None = Field(default=None, description="Table `[mqtt.tls]`.")
    keepalive_s: int = Field(default=30, ge=5, le=3_600, description="MQTT keep-alive, seconds.")

    @model_validator(mode="after")
    def _consistent(self) -> MqttTable:
        if self.password_file is not None and self.username is None:
            raise ValueError("a password_file without a username")
        if self.prefix.endswith("/"):
            raise ValueError("a prefix that ends in '/'")
        return self
