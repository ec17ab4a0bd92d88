"""The way to a real broker, as the doctor walks it: name, port, TLS, MQTT, and when certificates end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import DeviceConfig, MqttTable
from asd_edge.doctor import broker as broker_steps
from asd_edge.doctor.certificates import check_certificates
from asd_edge.doctor.device import Device
from asd_edge.doctor.finding import Finding, Level
from tests.edge.broker import Broker
from tests.edge.certificates import Authority


def walked(port: int, **mqtt: Any) -> dict[str, Finding]:
    return named(device(port, **mqtt))


def named(device: Device) -> dict[str, Finding]:
    return {str(finding.subject).removeprefix("[mqtt] "): finding for finding in broker_steps.check_broker(device)}


def device(port: int = 1883, **mqtt: Any) -> Device:
    table = MqttTable.model_validate({"host": "127.0.0.1", "port": port} | mqtt)
    machines = ({"id": "fan", "source": "sim:fan"},)
    return Device(config=DeviceConfig.model_validate({"device": {"id": "box"}, "mqtt": table, "machines": machines}))


def levels(findings: dict[str, Finding]) -> list[str]:
    return [f"{subject} {finding.level.value}" for subject, finding in findings.items()]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("plant") / "ca")


@pytest.fixture
def tls_broker(make_broker: Callable[..., Broker], authority: Authority) -> Callable[..., int]:
    """Start brokers with a certificate of these dates; give their ports."""

    def start(name: str, *, extra: str = "allow_anonymous true\n", **dates: Any) -> int:
        certificate, key = authority.sign(name, **dates)
        made = make_broker(f"{extra}certfile {certificate}\nkeyfile {key}\n")
        made.start()
        return made.port

    return start


def test_a_plain_broker_on_this_computer(broker: Broker) -> None:
    findings = walked(broker.port)
    assert levels(findings) == ["name ok", "port ok", "tls ok", "mqtt ok"]
    assert findings["mqtt"].found == "MQTT 5, anonymous, may publish"


def test_each_destination_that_is_enabled_and_no_other(make_broker: Callable[..., Broker], tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic write spBv1.0/asd-edge/+/box\n")
    strict = make_broker(f"allow_anonymous true\nacl_file {tmp_path / 'acl'}\n")
    strict.start()
    tables = {
        "mqtt": {"port": strict.port},
        "sparkplug": {"port": strict.port, "enabled": True},
    }
    box = {"device": {"id": "box"}, "machines": ({"id": "fan", "source": "sim:fan"},)}
    both = named(Device(config=DeviceConfig.model_validate(box | tables)))
    assert (both["mqtt"].level, both["[sparkplug] mqtt"].level) == (Level.FAULT, Level.OK)
    assert "asd-edge/box/check" in both["mqtt"].found
    tables["mqtt"]["enabled"] = False
    one = named(Device(config=DeviceConfig.model_validate(box | tables)))
    assert set(one) == {f"[sparkplug] {step}" for step in ("name", "port", "tls", "mqtt")}


def test_a_name_that_nobody_knows() -> None:
    findings = walked(1883, host="no-such-broker.invalid")
    assert levels(findings) == ["name fault"]


def test_a_port_where_nobody_listens(make_broker: Callable[..., Broker]) -> None:
    findings = walked(make_broker().port)
    assert levels(findings) == ["name ok", "port fault"]
    assert "Connection refused" in findings["port"].found


def test_a_port_that_accepts_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_steps, "_MQTT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        findings = walked(mute.getsockname()[1])
    assert levels(findings) == ["name ok", "port ok", "tls ok", "mqtt fault"]


def test_tls_of_the_plants_own_authority(tls_broker: Callable[..., int], authority: Authority) -> None:
    findings = walked(tls_broker("good", ends_d=400), tls={"ca_file": authority.ca_file})
    assert levels(findings) == ["name ok", "port ok", "tls ok", "mqtt ok"]
    assert "TLSv1.3, certificate of 127.0.0.1, until 20" in findings["tls"].found


@pytest.mark.parametrize(
    ("dates", "said", "remedy"),
    [
        ({"ends_d": -3.0}, "certificate has expired", "Renew"),
        ({"begins_d": 2.0, "ends_d": 9.0}, "not yet valid", "clock"),
        ({"host": "DNS:broker.plant", "ends_d": 400.0}, "IP address mismatch", "subjectAltName"),
    ],
)
def test_a_certificate_that_is_refused(
    dates: dict[str, Any], said: str, remedy: str, tls_broker: Callable[..., int], authority: Authority
) -> None:
    findings = walked(tls_broker("odd", **dates), tls={"ca_file": authority.ca_file})
    assert levels(findings) == ["name ok", "port ok", "tls fault"]
    assert said.lower() in findings["tls"].found.lower()
    assert remedy in str(findings["tls"].remedy)


def test_an_authority_that_nobody_named(tls_broker: Callable[..., int]) -> None:
    findings = walked(tls_broker("foreign", ends_d=400), tls={})
    assert levels(findings) == ["name ok", "port ok", "tls fault"]
    assert "ca_file" in str(findings["tls"].remedy)


def test_a_certificate_that_ends_soon(tls_broker: Callable[..., int], authority: Authority) -> None:
    findings = walked(tls_broker("soon", ends_d=12.5), tls={"ca_file": authority.ca_file})
    assert levels(findings) == ["name ok", "port ok", "tls warning", "mqtt ok"]
    assert "in 12 days" in findings["tls"].found


def test_tls_asked_of_a_broker_without(broker: Broker) -> None:
    findings = walked(broker.port, tls={})
    assert levels(findings) == ["name ok", "port ok", "tls fault"]
    assert "8883" in str(findings["tls"].remedy)


def test_a_broker_that_wants_a_certificate_of_the_device(
    tls_broker: Callable[..., int], authority: Authority, tmp_path: Path
) -> None:
    wants = f"allow_anonymous true\nrequire_certificate true\ncafile {authority.ca_file}\n"
    port = tls_broker("strict", extra=wants, ends_d=400)
    assert walked(port, tls={"ca_file": authority.ca_file})["mqtt"].level == Level.FAULT
    certificate, key = authority.sign("device", ends_d=20.5)
    tls = {"ca_file": authority.ca_file, "cert_file": certificate, "key_file": key}
    assert levels(walked(port, tls=tls))[-1] == "mqtt ok"
    files = {str(finding.subject).removeprefix("mqtt.tls."): finding for finding in check_certificates(device(tls=tls))}
    assert (files["ca_file"].level, files["cert_file"].level) == (Level.OK, Level.WARNING)
    assert "in 20 days" in files["cert_file"].found
    expired, _ = authority.sign("old", ends_d=-1.0)
    (_, old) = check_certificates(device(tls=tls | {"cert_file": expired}))
    assert (old.level, "it ended on" in old.found) == (Level.FAULT, True)
    both = tmp_path / "authorities.pem"  # one that has ended, beside its successor
    both.write_bytes(expired.read_bytes() + authority.ca_file.read_bytes())
    (kept, _) = check_certificates(device(tls=tls | {"ca_file": both}))
    assert (kept.level, kept.subject) == (Level.OK, "mqtt.tls.ca_file")
    torn = tmp_path / "torn.pem"
    torn.write_text("-----BEGIN CERTIFICATE-----\n")
    (broken, _) = check_certificates(device(tls=tls | {"ca_file": torn}))
    assert (broken.level, broken.subject) == (Level.FAULT, "mqtt.tls.ca_file")


def test_a_login_that_the_broker_refuses(make_broker: Callable[..., Broker]) -> None:
    made = make_broker("allow_anonymous false\n")
    made.start()
    findings = walked(made.port)
    assert levels(findings)[-1] == "mqtt fault"
    assert "Not authorized" in findings["mqtt"].found


def test_a_broker_elsewhere_without_encryption_is_a_warning() -> None:
    with socket.create_server(("127.0.0.1", 0)) as here:
        found = broker_steps._tls(device().config.mqtt, here, ["192.0.2.7"])  # type: ignore[union-attr]
    assert (found.level, "[mqtt.tls]" in str(found.remedy)) == (Level.WARNING, True)
