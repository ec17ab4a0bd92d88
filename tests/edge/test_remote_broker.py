"""Remote enrollment and brokers: retained messages, a broker that was away, rights, somebody else who answers."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import MqttTable
from asd_edge.errors import RemoteError, SinkError
from asd_edge.remote.client import perform
from asd_edge.remote.command import command_of
from asd_edge.sinks.mqtt_exchange import exchange
from tests.edge.remote_device import ANNA, TOPICS, reason
from tests.edge.remote_operator import COMMAND
from tests.edge.required import required_tool

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_retained_request_is_refused(broker: Any, ask: Any, start_device: Any, protocol: str) -> None:
    anna = ask(broker.port)
    anna.send(b"kept", retain=True)
    stop = start_device(broker.port, mqtt={"protocol": protocol})
    assert reason(anna.answer(b"kept")) == "retained"
    if protocol == "5":  # it tells even those who were there when the message was published
        anna.send(b"kept too", retain=True)
        assert reason(anna.answer(b"kept too")) == "retained"
    stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_device_listens_again_after_its_broker_was_away(
    broker: Any, ask: Any, start_device: Any, protocol: str
) -> None:
    start_device(broker.port, mqtt={"protocol": protocol})
    nonce = ask(broker.port).challenge()
    broker.stop()
    broker.start()
    anna = ask(broker.port)
    deadline = time.monotonic() + 20.0
    while not anna.answers(hashlib.sha256(b"anybody?").hexdigest()) and time.monotonic() < deadline:
        anna.send(b"anybody?")  # lost until the device is back
        time.sleep(1.0)
    assert anna.ask(ANNA.request(nonce))["verdict"] == "done"  # a challenge outlives the connection


def test_the_rights_in_the_document_are_enough_for_each_side(
    make_broker: Any, start_device: Any, tmp_path: Path
) -> None:
    rights = re.search(r"```\n(user press-hall-3\n.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert rights is not None
    (tmp_path / "acl").write_text(rights[1].replace("press-hall-3", "box"))
    (tmp_path / "passwords").write_text("box:one\nanna:two\n")
    subprocess.run([required_tool("mosquitto_passwd", "mosquitto"), "-U", tmp_path / "passwords"], check=True)
    files = f"password_file {tmp_path / 'passwords'}\nacl_file {tmp_path / 'acl'}\n"
    broker = make_broker(f"allow_anonymous false\n{files}")
    broker.start()
    (tmp_path / "one").write_text("one")
    (tmp_path / "two").write_text("two")
    start_device(broker.port, mqtt={"username": "box", "password_file": tmp_path / "one"})
    anna = MqttTable(port=broker.port, protocol="3.1.1", username="anna", password_file=tmp_path / "two")
    with exchange(anna, TOPICS) as send:
        result = perform(send, ANNA.key, "box", lambda nonce: command_of(device="box", nonce=nonce, **COMMAND))
    assert result["proposal"] == "p1"


def test_a_broker_that_lets_nobody_listen_is_said_in_the_log(
    make_broker: Any, start_device: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # An ACL file lets everybody subscribe and then passes nothing on; the plugin refuses.
    plugins = sorted(Path("/usr/lib").glob("**/mosquitto_dynamic_security.so"))
    if not plugins:
        pytest.skip("mosquitto's plugin for dynamic security is not installed")
    access = {"publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    (tmp_path / "rights.json").write_text(json.dumps({"defaultACLAccess": access}))
    plugin = f"plugin {plugins[0]}\nplugin_opt_config_file {tmp_path / 'rights.json'}\n"
    broker = make_broker(f"allow_anonymous true\n{plugin}")
    broker.start()
    start_device(broker.port)
    deadline = time.monotonic() + 10.0
    while "permission to subscribe" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.02)
    assert f"Allow reading {TOPICS.remote_request}" in caplog.text


def test_a_device_that_does_not_answer_or_is_another_is_an_error(broker: Any) -> None:
    with exchange(MqttTable(port=broker.port, protocol="3.1.1"), TOPICS) as send, pytest.raises(SinkError) as caught:
        send(b"anybody?", 0.2)
    assert TOPICS.remote_response in caught.value.found

    def stranger(_request: bytes, _patience_s: float) -> dict[str, Any]:
        return {"verdict": "challenge", "device": "other", "nonce": "ab" * 32, "life_s": 120}

    with pytest.raises(RemoteError, match="Another device"):
        perform(stranger, ANNA.key, "box", lambda _: pytest.fail("something was signed for a stranger"))
