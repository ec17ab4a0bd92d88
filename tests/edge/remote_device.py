"""A device that takes commands, and somebody who sends it requests and waits for the answers."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from asd_edge.config import BundleTable, DeviceConfig, DeviceTable, MachineTable, MqttTable, RemoteTable
from asd_edge.daemon.remote import remote_enrollment
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import DeviceReport, EngineReport, schema
from asd_edge.sinks.topics import Topics
from tests.edge.remote_operator import Operator

TOPICS = Topics("asd-edge", "box")
STAND_IN = (sys.executable, str(Path(__file__).parent / "stand_in_enroll.py"))
ANNA, MALLORY = Operator("anna"), Operator("mallory")
RESPONSES = jsonschema.Draft202012Validator(schema("remote"))


class Asker:
    """Publishes requests and waits for what answers them."""

    def __init__(self, listener: Any, port: int) -> None:
        self.listener = listener
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._count = 0

    def send(self, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(TOPICS.remote_request, payload, qos=1, retain=retain).wait_for_publish(10)

    def answer(self, payload: bytes, *, count: int = 1) -> dict[str, Any]:
        """The `count`-th answer to a request with this payload."""
        digest = hashlib.sha256(payload).hexdigest()

        def is_it(_response: dict[str, Any]) -> bool:
            return len(self.answers(digest)) >= count

        self.listener.wait("/remote/response", is_it)
        response = self.answers(digest)[count - 1]
        RESPONSES.validate(response)
        return response

    def answers(self, digest: str) -> list[dict[str, Any]]:
        return [response for response in self.listener.of("/remote/response") if response["request"] == digest]

    def ask(self, payload: bytes) -> dict[str, Any]:
        before = len(self.answers(hashlib.sha256(payload).hexdigest()))
        self.send(payload)
        return self.answer(payload, count=before + 1)

    def challenge(self) -> str:
        self._count += 1
        response = self.ask(json.dumps({"ask": "challenge", "request_id": f"test-{self._count}"}).encode())
        assert response["verdict"] == "challenge", response
        assert response["device"] == "box"
        return str(response["nonce"])

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def device_config(folder: Path, port: int, *, mqtt: dict[str, Any] | None = None, **remote: Any) -> DeviceConfig:
    """A device that anna may command, whose state is in the folder `state`."""
    table = {"enabled": True, "keys_file": ANNA.authorise(folder / "keys")} | remote
    return DeviceConfig(
        device=DeviceTable(id="box", state_dir=folder / "state"),
        bundle=BundleTable(),
        mqtt=MqttTable(port=port, **(mqtt or {})),
        remote=RemoteTable(**table),
        machines=(MachineTable(id="fan-1", source="sim:fan"),),
    )


def start_remote(config: DeviceConfig, path: Path) -> Callable[[], None]:
    """Start what takes commands, and its connection alone; return what stops it, once."""
    report = DeviceReport("0", "0" * 64, EngineReport("onnxruntime", "fp32"), ())
    outbox = Outbox(config.device.state_dir / "outbox" / "mqtt.db", config.outbox)
    sink = MqttSink(config.mqtt, TOPICS, outbox, config.outbox.history_kib_s, lambda: report)
    enrollment = remote_enrollment(config, path)
    assert enrollment is not None
    enrollment.listen_to(sink, TOPICS)
    enrollment.start()
    sink.start()

    @cache
    def stop() -> None:
        enrollment.stop()
        sink.stop("the test is over", patience_s=1.0)

    if not sink.wait_open(10):
        stop()
        raise AssertionError("the broker does not answer")
    return stop


def audit(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "state" / "remote-audit.jsonl").read_text().splitlines()]


def reason(response: dict[str, Any]) -> str:
    assert response["verdict"] == "refused", response
    return str(response["reason"])
