"""A paho-mqtt client made from the device's configuration."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from contextlib import suppress
from typing import Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from asd_edge.config import BrokerTable, Server, TlsTable
from asd_edge.credentials import credential
from asd_edge.errors import SinkError

VERSION_REFUSED = "Unsupported protocol version"  # the reason code's text; the fallback to 3.1.1 follows it
_CONNECT_TIMEOUT_S = 5.0
_STOP_PATIENCE_S = 2.0


def new_client(
    config: BrokerTable, protocol: Literal["5", "3.1.1"], client_id: str, *, reconnect: bool = True
) -> paho.Client:
    """Return a client that is not connected yet.

    Args:
        config: user and TLS.
        protocol: version of MQTT.
        client_id: its name at the broker.
        reconnect: whether paho connects again by itself after a connection was lost.

    Raises:
        SinkError: the password or a TLS file cannot be read.
    """
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=MQTTProtocolVersion.MQTTv5 if protocol == "5" else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=reconnect,
    )
    client.suppress_exceptions = True  # one in a callback would end the network thread, and nobody would know
    client.connect_timeout = _CONNECT_TIMEOUT_S
    if config.username is not None:
        client.username_pw_set(config.username, _password(config))
    if config.tls is not None:
        client.tls_set_context(tls_context(config.tls, config.name))
    return client


CLOSED_AT_ONCE = "the connection was accepted, then closed at once"


def check_protocol(name: str) -> str:
    """Return what to do about a broker, of the table of that name, which takes a connection and closes it."""
    return (
        f"Correct port and TLS under [{name}] (8883 usually wants TLS, 1883 none), or the rights to publish;"
        ' an old broker may need protocol = "3.1.1".'
    )


def stop_loop(client: paho.Client) -> None:
    """End paho's network thread, but leave it behind when a dead link or a silent name server holds it."""

    def stop() -> None:
        with suppress(AttributeError):  # paho forgets its thread when that ends, even between its own two looks at it
            client.loop_stop()

    stopper = threading.Thread(target=stop, name="mqtt-stopper", daemon=True)
    stopper.start()
    stopper.join(_STOP_PATIENCE_S)


def leave_it_to_the_will(client: paho.Client, protocol: Literal["5", "3.1.1"]) -> None:
    """End a connection so that the broker publishes the last will."""
    if protocol == "5":
        client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
    else:  # a DISCONNECT of MQTT 3.1.1 would discard the will
        shut(client)


def shut(client: paho.Client) -> None:
    """End a connection without a word."""
    if isinstance(connection := client.socket(), socket.socket):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def connection_failure() -> str:
    """Inside paho's on_connect_fail, return the error that paho is handling just then, and swallows."""
    return str(sys.exc_info()[1] or "no answer")


def broker_error(name: str, server: Server, found: str, expected: str, remedy: str) -> SinkError:
    """Return the error of a broker, of the table of that name, that cannot be used."""
    return SinkError(f"[{name}] The broker at {server} cannot be used", found=found, expected=expected, remedy=remedy)


def _password(config: BrokerTable) -> str | None:
    if config.password_file is None:
        return None
    path = credential(config.password_file)
    try:
        return path.read_text("utf-8").split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise SinkError(
            f"The broker's password cannot be read from {path}",
            found=str(error),
            expected="a text file whose first line is the password",
            remedy=f"Correct password_file under [{config.name}], or the file's permissions.",
        ) from error


def tls_context(tls: TlsTable, name: str) -> ssl.SSLContext:
    """Return how the broker's certificate is checked, and which one it is shown; `name` is that of its table.

    Raises:
        SinkError: a TLS file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # wants a certificate, of the host's name
    try:
        if tls.cert_file is not None:
            # A key with a passphrase is an error: nobody is there to be asked for it.
            key = None if tls.key_file is None else credential(tls.key_file)
            context.load_cert_chain(credential(tls.cert_file), key, password=_no_passphrase)
        if tls.ca_file is not None:
            context.load_verify_locations(credential(tls.ca_file))
        else:
            context.load_default_certs()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise SinkError(
            "The TLS files cannot be used",
            found=f"{type(error).__name__}: {error}",
            expected="ca_file, and cert_file with key_file, as PEM files",
            remedy=f"Correct the files named under [{name}.tls].",
        ) from error
    return context


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")
