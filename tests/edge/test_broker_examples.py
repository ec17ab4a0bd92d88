"""firmware_configs/mosquitto works as it stands: certificates, rights, persistence, and a bridge of two brokers."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from asd_edge.cli.app import app
from asd_edge.config import OutboxTable, load_config
from asd_edge.daemon.check import check
from asd_edge.sinks.home_assistant import discovery_messages
from asd_edge.sinks.topics import Topics
from tests.edge.broker import Broker
from tests.edge.required import required_tool

pytestmark = pytest.mark.once

NAMES = ("press-hall-3", "pump-house", "scada", "anna", "hall-3-bridge")
FOLDER = Path(__file__).parents[2] / "firmware_configs" / "mosquitto"


def certificates(*words: str | Path) -> subprocess.CompletedProcess[str]:
    required_tool("openssl", "openssl")
    return subprocess.run([FOLDER / "certificates.sh", *words], capture_output=True, text=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plant's authority, and everybody's certificates."""
    folder = tmp_path_factory.mktemp("certificates") / "plant-ca"
    made = [certificates("authority", folder), certificates("server", folder, "127.0.0.1")]
    made += [certificates("device", folder, name) for name in NAMES]
    assert [done.stderr for done in made if done.returncode != 0] == []
    return folder


class Example(Broker):
    """mosquitto with the example's configuration: other paths and another port, nothing else."""

    def __init__(self, folder: Path, authority: Path, more: str = "") -> None:
        folder.mkdir(parents=True)
        super().__init__(folder)
        text = (FOLDER / "mosquitto.conf").read_text()
        assert text.count("\nlistener 8883\n") == 1
        text = text.replace("\nlistener 8883\n", f"\nlistener {self.port} 127.0.0.1\n")
        self._config.write_text(self._here(text, folder) + self._here(more, folder))
        if os.geteuid() == 0:
            self._config.write_text(self._config.read_text() + "\nuser root\n")
        certs = folder / "certs"
        certs.mkdir()
        pairs = {"server.pem": "127.0.0.1.pem", "server.key": "127.0.0.1.key", "ca.pem": "ca.pem"}
        pairs |= {"bridge.pem": "hall-3-bridge.pem", "bridge.key": "hall-3-bridge.key", "plant-ca.pem": "ca.pem"}
        for name, source in pairs.items():
            (certs / name).write_bytes((authority / source).read_bytes())
        acl = (FOLDER / "asd-edge.acl").read_text()
        (folder / "asd-edge.acl").write_text(acl + "\nuser hall-3-bridge\n" + "\n".join(rights_of_the_bridge()) + "\n")

    @staticmethod
    def _here(text: str, folder: Path) -> str:
        return text.replace("/etc/mosquitto/", f"{folder}/").replace("/var/lib/mosquitto/", f"{folder}/")


def rights_of_the_bridge() -> list[str]:
    """Return what bridge.conf says to put into the plant's ACL."""
    lines = (FOLDER / "bridge.conf").read_text().splitlines()
    return [line.removeprefix("#").strip() for line in lines if line.startswith("#     topic ")]


class Client:
    """Somebody with a certificate of the authority, or with none."""

    def __init__(self, broker: Broker, authority: Path, name: str | None) -> None:
        self.heard: dict[str, tuple[Any, bool]] = {}
        self._reasons: dict[int, Any] = {}
        self._news = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
        if name is not None:
            context.load_cert_chain(authority / f"{name}.pem", authority / f"{name}.key")
        self._client.tls_set_context(context)
        self._client.on_publish = self._published
        self._client.on_message = self._arrived
        connected = threading.Event()
        self._client.on_connect = lambda *_: connected.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self.is_connected = connected.wait(1.0 if name is None else 10.0)

    def _published(self, _client: Any, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        with self._news:
            self._reasons[number] = reason
            self._news.notify_all()

    def _arrived(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        with self._news:
            # a bridge that is back says its retained messages anew, and then they come live too
            was_retained = self.heard.get(message.topic, (None, False))[1]
            self.heard[message.topic] = (json.loads(message.payload), message.retain or was_retained)
            self._news.notify_all()

    def publish(self, topic: str, payload: object = 1, *, retain: bool = False) -> str:
        """Return what the broker says to it."""
        return self.publish_all({topic: payload}, retain=retain)[topic]

    def publish_all(self, messages: Mapping[str, object], *, retain: bool = False) -> dict[str, str]:
        """Return what the broker says to each topic."""
        numbers = {
            topic: self._client.publish(topic, json.dumps(payload), qos=1, retain=retain).mid
            for topic, payload in messages.items()
        }
        with self._news:
            assert self._news.wait_for(lambda: self._reasons.keys() >= set(numbers.values()), 10)
        return {topic: str(self._reasons[number]) for topic, number in numbers.items()}

    def subscribe(self, topic: str) -> None:
        done = threading.Event()
        self._client.on_subscribe = lambda *_: done.set()
        self._client.subscribe(topic, qos=1)
        assert done.wait(10)

    def wait(self, topic: str, limit_s: float = 10.0) -> Any:
        with self._news:
            assert self._news.wait_for(lambda: topic in self.heard, limit_s), self.heard
        return self.heard[topic][0]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, authority: Path) -> Iterator[Broker]:
    broker = Example(tmp_path_factory.mktemp("mosquitto") / "plant", authority)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def connect(broker: Broker, authority: Path) -> Iterator[Any]:
    clients: list[Client] = []

    def connect(name: str | None) -> Client:
        clients.append(Client(broker, authority, name))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


class TestRights:
    def test_a_device_writes_its_own_topics_and_no_other_s(self, connect: Any) -> None:
        scada, device = connect("scada"), connect("press-hall-3")
        scada.subscribe("asd-edge/#")
        topics = [f"asd-edge/{name}/fan-7/alarm" for name in ("pump-house", "press-hall-3")]
        said = device.publish_all(dict.fromkeys(topics, "forged or own"))
        assert said == {topics[0]: "Not authorized", topics[1]: "Success"}
        assert scada.wait(topics[1]) == "forged or own"
        assert topics[0] not in scada.heard  # what was sent before has arrived

    def test_a_device_announces_itself_and_no_other_in_home_assistant(self, connect: Any) -> None:
        topics = {
            name: message.topic
            for name in ("press-hall-3", "pump-house")
            for message in discovery_messages(Topics("asd-edge", name), "homeassistant", ["fan-7"], "0")
        }
        said = {name: connect("press-hall-3").publish(topic) for name, topic in topics.items()}
        assert {name for name, how in said.items() if how != "Not authorized"} == {"press-hall-3"}

    def test_the_same_of_its_sparkplug_node(self, connect: Any) -> None:
        kinds = [f"{kind}/{{}}" for kind in ("NBIRTH", "NDATA", "NDEATH")] + ["DBIRTH/{}/fan-7", "DDATA/{}/fan-7"]
        own, foreign = (
            {f"spBv1.0/asd-edge/{kind.format(name)}" for kind in kinds} for name in ("press-hall-3", "pump-house")
        )
        said = connect("press-hall-3").publish_all(dict.fromkeys(own))
        for topic in [*foreign, "spBv1.0/STATE/scada"]:  # mosquitto 2.0 ends a TLS connection after a denial
            said |= connect("press-hall-3").publish_all({topic: None})
        assert {topic for topic, how in said.items() if how != "Not authorized"} == own

    def test_a_device_hears_its_own_commands_alone(self, connect: Any) -> None:
        device, other, anna = connect("press-hall-3"), connect("pump-house"), connect("anna")
        device.subscribe("asd-edge/#")
        other.subscribe("asd-edge/#")
        assert connect("anna").publish("asd-edge/pump-house/remote/request") == "Not authorized"
        assert anna.publish("asd-edge/press-hall-3/remote/request", "command") == "Success"
        assert device.wait("asd-edge/press-hall-3/remote/request") == "command"
        assert other.heard == {}

    def test_nobody_comes_without_a_certificate(self, connect: Any) -> None:
        with suppress(OSError):  # some versions of TLS tell at once
            assert not connect(None).is_connected

    def test_the_device_file_in_the_document_uses_it(self, broker: Broker, authority: Path, tmp_path: Path) -> None:
        (text,) = re.findall(r"```toml\n(.*?)```", (FOLDER.parents[1] / "docs" / "scada.md").read_text(), re.DOTALL)
        here = {"mqtt.plant.example": "127.0.0.1", "= 8883": f"= {broker.port}", "/etc/asd-edge/": f"{authority}/"}
        here |= {"alsa:hw:CARD=Device": "sim:fan", "[device]": f'[device]\nstate_dir = "{tmp_path}"'}
        for word, replacement in here.items():
            assert word in text
            text = text.replace(word, replacement)
        device = tmp_path / "device.toml"
        device.write_text(text)
        said = CliRunner().invoke(app, ["run", "--check", "--config", str(device)]).output
        takes = f"127.0.0.1:{broker.port} takes messages, MQTT 5, certificate of press-hall-3"
        assert all(f"ok      broker of {table}: {takes}" in said for table in ("[mqtt]", "[sparkplug]")), said
        rights, node = (FOLDER / "asd-edge.acl").read_text(), load_config(device).sparkplug
        assert f"pattern write spBv1.0/{node.group}/+/%u/+\n" in rights
        assert f"topic write spBv1.0/STATE/{node.primary_host}\n" in rights

    @pytest.mark.parametrize(
        ("device", "group", "denied"),
        [
            ("press-hall-3", "asd-edge", []),
            ("pump-house", "asd-edge", ["asd-edge/pump-house/check", "spBv1.0/asd-edge/CHECK/pump-house"]),
            ("press-hall-3", "hall-3", ["spBv1.0/hall-3/CHECK/press-hall-3"]),
        ],
    )
    def test_a_device_is_told_whether_it_may_use_it(
        self, broker: Broker, authority: Path, tmp_path: Path, device: str, group: str, denied: list[str]
    ) -> None:
        own = f'"{authority}/press-hall-3'
        tls = f'ca_file = "{authority}/ca.pem"\ncert_file = {own}.pem"\nkey_file = {own}.key"\n'
        path = tmp_path / "device.toml"
        path.write_text(
            f'[device]\nid = "{device}"\nstate_dir = "{tmp_path}"\n'
            f"[mqtt]\nport = {broker.port}\n[mqtt.tls]\n{tls}"
            f'[sparkplug]\nenabled = true\nport = {broker.port}\ngroup = "{group}"\n[sparkplug.tls]\n{tls}'
            '[[machines]]\nid = "fan-7"\nsource = "sim:fan"\n'
        )
        brokers = [finding for finding in check(load_config(path)) if finding.what.startswith("broker")]
        assert [finding.what for finding in brokers] == ["broker of [mqtt]", "broker of [sparkplug]"]
        assert [
            topic for topic in denied if f"Allow writing to {topic};" in str([str(f.error) for f in brokers])
        ] == denied
        for finding in brokers:
            assert "certificate of press-hall-3" in str(finding.error or finding.result)
        assert sum(finding.error is not None for finding in brokers) == len(denied)


class TestPersistence:
    def test_what_a_killed_broker_forgets_is_sent_again(self) -> None:
        settings = dict(
            line.split(maxsplit=1)
            for line in (FOLDER / "mosquitto.conf").read_text().splitlines()
            if line and not line.startswith("#")
        )
        assert settings["persistence"] == "true"
        # saved twice within what a device sends again: one save may take its time
        assert 2 * int(settings["autosave_interval"]) < OutboxTable().replay_s

    def test_more_than_a_thousand_messages_are_kept_for_who_is_away(
        self, broker: Broker, authority: Path, connect: Any
    ) -> None:
        """1000 is mosquitto's own limit, beyond which it throws away."""
        away = paho.Client(CallbackAPIVersion.VERSION2, client_id="away", protocol=paho.MQTTv311, clean_session=False)
        context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
        context.load_cert_chain(authority / "scada.pem", authority / "scada.key")
        away.tls_set_context(context)
        subscribed, all_there, numbers = threading.Event(), threading.Event(), set[int]()
        away.on_connect = lambda client, *_: client.subscribe("asd-edge/+/+/score", qos=1)
        away.on_subscribe = lambda *_: subscribed.set()
        away.connect("127.0.0.1", broker.port)
        away.loop_start()
        assert subscribed.wait(10)
        away.disconnect()
        away.loop_stop()

        def arrived(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
            numbers.add(int(message.payload))
            if len(numbers) == 1200:
                all_there.set()

        device = connect("press-hall-3")
        for number in range(1200):
            device._client.publish("asd-edge/press-hall-3/fan-7/score", str(number), qos=1)
        device.publish("asd-edge/press-hall-3/fan-7/event", "all before it have been acknowledged")
        away.on_message = arrived
        away.connect("127.0.0.1", broker.port)
        away.loop_start()
        try:
            assert all_there.wait(20), len(numbers)
        finally:
            away.disconnect()
            away.loop_stop()


class TestBridge:
    def test_what_a_hall_s_broker_hears_the_plant_s_hears_also_after_the_line_was_down(
        self, tmp_path: Path, authority: Path
    ) -> None:
        plant = Example(tmp_path / "plant", authority)
        bridge = (FOLDER / "bridge.conf").read_text()
        assert bridge.count("address mqtt.plant.example:8883") == 1
        bridge = bridge.replace("mqtt.plant.example:8883", f"127.0.0.1:{plant.port}")
        # the line comes back within a second, not within a minute
        hall = Example(tmp_path / "hall", authority, bridge.replace("restart_timeout 5 60", "restart_timeout 1"))
        plant.start()
        hall.start()
        clients = []
        try:
            clients += [device := Client(hall, authority, "press-hall-3"), scada := Client(plant, authority, "scada")]
            scada.subscribe("asd-edge/#")
            device.publish("asd-edge/press-hall-3/fan-7/alarm", "first", retain=True)
            scada.wait("asd-edge/press-hall-3/fan-7/alarm")
            scada.close()
            plant.stop()
            device.publish("asd-edge/press-hall-3/fan-7/event", "while the line was down")
            plant.start()
            clients.append(scada := Client(plant, authority, "scada"))
            scada.subscribe("asd-edge/#")
            assert scada.wait("asd-edge/press-hall-3/fan-7/event", 20) == "while the line was down"
            clients.append(late := Client(plant, authority, "scada"))
            late.subscribe("asd-edge/#")
            assert late.wait("asd-edge/press-hall-3/fan-7/alarm") == "first"
            assert late.heard["asd-edge/press-hall-3/fan-7/alarm"][1], "it is retained at the plant too"
        finally:
            for client in clients:
                client.close()
            hall.stop()
            plant.stop()


class TestCertificates:
    @pytest.mark.parametrize("name", ["../x", "a/b", "+", "#", "a b", ""])
    def test_a_name_that_would_reach_other_topics_is_refused(self, authority: Path, name: str) -> None:
        assert certificates("device", authority, name).returncode == 2

    def test_a_key_is_not_overwritten_and_only_its_owner_s(self, authority: Path) -> None:
        key = authority / "scada.key"
        before = key.read_bytes()
        assert certificates("device", authority, "scada").returncode == 1
        assert key.read_bytes() == before
        assert key.stat().st_mode & 0o077 == 0

    def test_a_device_s_certificate_makes_no_broker(self, authority: Path) -> None:
        purpose = ["openssl", "verify", "-CAfile", str(authority / "ca.pem"), "-purpose", "sslserver"]
        for name, status in (("127.0.0.1", 0), ("scada", 2)):
            done = subprocess.run([*purpose, str(authority / f"{name}.pem")], capture_output=True, text=True)
            assert done.returncode == status, done.stderr
