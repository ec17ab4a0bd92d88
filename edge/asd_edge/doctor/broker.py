"""The way to each broker, step by step: name, port, TLS, MQTT. The first step that fails ends it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from asd_edge.config import BrokerTable, MqttTable, SparkplugTable
from asd_edge.credentials import credential
from asd_edge.doctor.certificates import expiry_of_peer
from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Finding, Level, fault, ok, warning
from asd_edge.errors import SinkError
from asd_edge.sinks.link.mqtt_client import tls_context
from asd_edge.sinks.link.probe import identity, probe, probe_topic

STEP_S = 4.0  # each of the three steps; the last is given the time that a slow broker needs
_MQTT_S = 6.0


def check_broker(device: Device) -> Iterator[Finding]:
    """Yield how far the way to each destination's broker goes."""
    if device.config is None:
        return
    for table in device.config.destinations:
        for finding in _way(table, device.config.device.id):
            yield replace(finding, subject=f"[{table.name}] {finding.subject}")


def _way(mqtt: MqttTable | SparkplugTable, device: str) -> Iterator[Finding]:
    try:
        found = socket.getaddrinfo(mqtt.host, mqtt.port, type=socket.SOCK_STREAM)
    except OSError as error:
        yield fault(
            f"{mqtt.host}: {error.strerror}",
            f"Correct {mqtt.name}.host, or the device's DNS (resolvectl query NAME).",
            subject="name",
        )
        return
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    yield ok(mqtt.host if addresses == [mqtt.host] else f"{mqtt.host} is {', '.join(addresses)}", subject="name")
    try:
        connection = socket.create_connection((mqtt.host, mqtt.port), timeout=STEP_S)
    except OSError as error:
        reason = error.strerror or str(error)
        yield fault(
            f"{mqtt.servers[0]}: {reason}",
            f"Start the broker, or correct {mqtt.name}.port, route and firewall.",
            subject="port",
        )
        return
    with connection:
        yield ok(f"{mqtt.servers[0]} accepts connections", subject="port")
        if (hidden := hidden_file(mqtt)) is not None:
            yield ok("not tried", subject="mqtt", unseen=f"TLS and MQTT ({hidden} is another user's; use sudo)")
            return
        tls = _tls(mqtt, connection, addresses)
    yield tls
    if tls.level is not Level.FAULT:
        yield _connect(mqtt, device)


def _tls(mqtt: BrokerTable, connection: socket.socket, addresses: list[str]) -> Finding:
    if mqtt.tls is None:
        if all(_is_loopback(found) for found in addresses):
            return ok("not encrypted, within this computer", subject="tls")
        return warning(
            "not encrypted: whoever hears the network reads password and events",
            f"Add the table [{mqtt.name}.tls], and the broker's TLS port.",
            subject="tls",
        )
    try:
        connection.settimeout(STEP_S)
        with tls_context(mqtt.tls, mqtt.name).wrap_socket(connection, server_hostname=mqtt.host) as encrypted:
            peer, version = encrypted.getpeercert() or {}, encrypted.version()
    except SinkError as error:
        return fault(f"{error.what}: {error.found}", error.remedy, subject="tls")
    except ssl.SSLCertVerificationError as error:
        return fault(f"{mqtt.servers[0]}: {error.verify_message}", _remedy_of(error, mqtt.name), subject="tls")
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        remedy = f"Correct {mqtt.name}.port (8883 usually has TLS, 1883 none), or cert_file under [{mqtt.name}.tls]."
        return fault(f"{mqtt.servers[0]}: {reason}", remedy, subject="tls")
    except OSError as error:
        return fault(
            f"{mqtt.servers[0]} ends the handshake ({error.strerror or error})",
            f"Correct {mqtt.name}.port: 8883 usually has TLS, 1883 none.",
            subject="tls",
        )
    return expiry_of_peer(peer, f"{version}")


def _remedy_of(error: ssl.SSLCertVerificationError, name: str) -> str:
    # X509_V_ERR_… of <openssl/x509_vfy.h>
    match error.verify_code:
        case 9:  # CERT_NOT_YET_VALID
            return "Set this device's clock; if it is right, the broker's certificate begins later."
        case 10:  # CERT_HAS_EXPIRED
            return "Renew the certificate of the broker (or of its CA); look at this device's clock, too."
        case 18 | 19 | 20 | 21:  # self-signed, or an issuer that is not known
            return f"Name the file of the CA that signed the broker's certificate: ca_file under [{name}.tls]."
        case 62 | 64:  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH
            return f"Write {name}.host as the certificate has it (subjectAltName), or issue one with this name."
    return f"Correct the broker's certificate, or ca_file under [{name}.tls]."


def _connect(mqtt: MqttTable | SparkplugTable, device: str) -> Finding:
    try:
        spoken = probe(mqtt, probe_topic(mqtt, device), timeout_s=_MQTT_S)
    except SinkError as error:
        return fault(f"{mqtt.servers[0]}: {error.found}", error.remedy, subject="mqtt")
    found = f"MQTT {spoken}, {identity(mqtt)}"
    if spoken != mqtt.protocol:
        return warning(
            found,
            "Update the broker: 3.1.1 acknowledges messages that its rights forbid, and nobody learns of it.",
            subject="mqtt",
        )
    return ok(f"{found}, may publish", subject="mqtt")


def hidden_file(mqtt: BrokerTable) -> Path | None:
    """Return a file with a secret of the connection that this user may not read; None without one."""
    secrets = (mqtt.password_file, mqtt.tls.key_file if mqtt.tls is not None else None)
    for path in (secret for secret in secrets if secret is not None):
        try:
            credential(path).open("rb").close()
        except PermissionError:
            return path
        except OSError:  # who reads it says what is wrong with it
            continue
    return None


def _is_loopback(found: str) -> bool:
    try:
        return ipaddress.ip_address(found.partition("%")[0]).is_loopback
    except ValueError:
        return False
