"""The sink against a real broker: late, gone, back, refusing."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import MqttTable, OutboxTable, TlsTable
from asd_edge.demo.broker import demo_broker
from asd_edge.errors import SinkError
from asd_edge.events import AlarmChange
from asd_edge.sinks.link.probe import probe
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import DeviceReport
from tests.edge.outages import REPORT, TOPICS, alarm, history, score
from tests.edge.required import required_module, required_tool


def test_a_stopped_device_leaves_an_offline_status_that_counts_its_messages(
    broker: Any, listen: Any, make_sink: Any
) -> None:
    listener = listen(broker.port)
    sink = make_sink(broker.port)
    assert sink.wait_open(10)
    sink.publish(AlarmChange("fan", 0.0, active=False, cause="start"))
    for number in range(50):
        sink.publish(score(number))
    assert sink.stop("stopped by SIGTERM", patience_s=10) == 0
    farewell = listener.wait("/status", lambda status: status["state"] == "offline")
    assert farewell["reason"] == "stopped by SIGTERM"
    assert farewell["messages"] == {"published": 51, "acknowledged": 51, "denied": 0}
    assert farewell["outbox"]["waiting"] == 0
    numbers = [payload["id"] for kind in ("/alarm", "/score") for payload in listener.of(kind)]
    assert sorted(numbers) == list(range(1, 52))
    assert [payload["start"] for payload in listener.of("/score")] == list(range(50))
    late = listen(broker.port)  # whoever comes later sees how things stand, not what was
    assert late.wait("/status", lambda _: True)["state"] == "offline"
    assert late.of("/score") == []


def test_a_broker_that_comes_late_gets_what_was_before_it_marked_as_history(
    make_broker: Any, listen: Any, make_sink: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broker = make_broker()
    with caplog.at_level(logging.WARNING):
        sink = make_sink(broker.port)
        for number in range(600):
            sink.publish(score(number))
        assert not sink.wait_open(1.2)
    assert "Connection refused" in caplog.text
    assert "remedy:" in caplog.text
    broker.start()
    listener = listen(broker.port)  # long before the device, which tries again after a second or more
    assert sink.wait_open(10)
    sink.publish(score(600))
    assert sink.stop("over", patience_s=10) == 0
    assert [event["payload"]["start"] for event in history(listener)] == list(range(600))
    assert {event["topic"] for event in history(listener)} == {"fan/score"}
    assert [payload["start"] for payload in listener.of("/fan/score")] == [600]


def test_a_broker_that_goes_away_and_comes_back_learns_the_alarm_as_it_stands(
    broker: Any, listen: Any, make_sink: Any
) -> None:
    sink = make_sink(broker.port)
    assert sink.wait_open(10)
    broker.stop()
    sink.publish(alarm(1, active=True))
    for number in range(300):
        sink.publish(score(number))
    sink.publish(alarm(2, active=False))
    broker.start()
    listener = listen(broker.port)
    listener.wait("/alarm", lambda payload: not payload["active"])
    assert [payload["active"] for payload in listener.of("/alarm")] in ([True, False], [False])  # it may come later
    assert listener.wait("/status", lambda status: status["state"] == "online")
    assert listen(broker.port).wait("/alarm", lambda _: True)["active"] is False


def test_a_broker_that_freezes_gets_everything_when_it_thaws(broker: Any, listen: Any, make_sink: Any) -> None:
    listener = listen(broker.port)
    sink = make_sink(broker.port)
    assert sink.wait_open(10)
    broker.freeze()
    for number in range(100):
        sink.publish(score(number))
    time.sleep(0.5)
    _, counts, _ = sink.report
    assert 0 < counts.published <= 20  # no more than the window is on its way
    assert counts.acknowledged == 0
    broker.thaw()
    listener.wait("/score", lambda payload: payload["start"] == 99)
    assert [payload["start"] for payload in listener.of("/score")] == list(range(100))


def test_a_frozen_broker_does_not_hold_up_the_end(broker: Any, make_sink: Any) -> None:
    sink = make_sink(broker.port)
    assert sink.wait_open(10)
    broker.freeze()
    for number in range(30):
        sink.publish(score(number))
    began = time.monotonic()
    assert sink.stop("stopped", patience_s=0.5) == 30
    assert time.monotonic() - began < 5.0


def test_a_name_server_that_does_not_answer_does_not_hold_up_the_end(
    make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def silent(*_: Any, **__: Any) -> list[Any]:  # a name server cannot be made to fall silent here
        asked.set()
        answer.wait(20)
        raise socket.gaierror

    monkeypatch.setattr("socket.getaddrinfo", silent)
    try:
        sink = make_sink(1883)
        assert asked.wait(5)
        began = time.monotonic()
        sink.stop("stopped", patience_s=0.5)
        with pytest.raises(SinkError, match="no answer"):
            probe(MqttTable(), timeout_s=0.5)
        assert time.monotonic() - began < 8.0
    finally:
        answer.set()


def test_a_farewell_that_does_not_get_through_in_mqtt_3_1_1_leaves_the_last_will(
    broker: Any, listen: Any, make_sink: Any
) -> None:
    listener = listen(broker.port)
    sink = make_sink(broker.port, protocol="3.1.1")
    assert sink.wait_open(10)
    broker.freeze()
    sink.publish(score(1))
    assert sink.stop("stopped", patience_s=0.5) == 1
    broker.thaw()
    assert listener.wait("/status", lambda status: status["reason"] == "connection lost")["state"] == "offline"
    late = listen(broker.port)  # the "online" is not what stays
    assert late.wait("/status", lambda _: True)["state"] == "offline"


def test_a_farewell_that_gets_through_in_mqtt_3_1_1_is_not_replaced_by_the_will(
    broker: Any, listen: Any, make_sink: Any
) -> None:
    sink = make_sink(broker.port, protocol="3.1.1")
    assert sink.wait_open(10)
    assert sink.stop("stopped", patience_s=10) == 0
    time.sleep(0.5)  # a will would come at once
    assert listen(broker.port).wait("/status", lambda _: True)["reason"] == "stopped"


VANISHING = """
import sys
from pathlib import Path
from asd_edge.config import MqttTable, OutboxTable
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import DeviceReport, EngineReport
from asd_edge.sinks.topics import Topics
table = MqttTable(host="127.0.0.1", port=int(sys.argv[1]))
report = DeviceReport("0", "0" * 64, EngineReport("onnxruntime", "fp32"), ())
outbox = Outbox(Path(sys.argv[2]) / "mqtt.db", OutboxTable())
sink = MqttSink(table, Topics("asd-edge", "box"), outbox, 2048, lambda: report)
sink.start()
assert sink.wait_open(10)
print("open", flush=True)
sys.stdin.read()
"""


def test_a_device_that_vanishes_is_reported_by_its_last_will(broker: Any, listen: Any, tmp_path: Path) -> None:
    listener = listen(broker.port)
    with subprocess.Popen(
        [sys.executable, "-c", VANISHING, str(broker.port), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as device:
        assert device.stdout is not None
        assert device.stdout.readline() == b"open\n"
        assert listener.wait("/status", lambda _: True)["state"] == "online"
        device.send_signal(signal.SIGKILL)
    will = listener.wait("/status", lambda status: status["state"] == "offline")
    assert will == {"state": "offline", "reason": "connection lost", "device": "box"}


def password_broker(make_broker: Any, tmp_path: Path, acl: str) -> Any:
    passwords, rights = tmp_path / "passwords", tmp_path / "acl"
    passwords.write_text("box:secret\nreader:readers\n")
    subprocess.run([required_tool("mosquitto_passwd", "mosquitto"), "-U", str(passwords)], check=True)
    rights.write_text(acl)
    broker = make_broker(f"allow_anonymous false\npassword_file {passwords}\nacl_file {rights}\n")
    broker.start()
    return broker


READER = "user reader\ntopic read #\n"


def test_user_and_password_file_open_the_door(
    make_broker: Any, listen: Any, make_sink: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = password_broker(make_broker, tmp_path, f"user box\ntopic write asd-edge/box/#\n{READER}")
    (tmp_path / "right").write_text("secret\n")
    (tmp_path / "wrong").write_text("guess\n")
    refused = make_sink(broker.port, username="box", password_file=tmp_path / "wrong")
    assert not refused.wait_open(3.0)
    assert caplog.text.count("Not authorized") == 1  # said once, not at every attempt
    with pytest.raises(SinkError, match="cannot be used"):
        probe(MqttTable(port=broker.port, username="box", password_file=tmp_path / "wrong"))
    sink = make_sink(broker.port, username="box", password_file=tmp_path / "right")
    assert sink.wait_open(10)
    listener = listen(broker.port, username="reader", password="readers")
    sink.publish(score(1))
    assert listener.wait("/score", lambda _: True)["start"] == 1


def test_a_denied_message_is_parked_and_offered_again_at_the_next_start(
    make_broker: Any, listen: Any, make_sink: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = password_broker(make_broker, tmp_path, "user box\ntopic write asd-edge/box/status\n")
    (tmp_path / "right").write_text("secret\n")
    sink = make_sink(broker.port, username="box", password_file=tmp_path / "right")
    assert sink.wait_open(10)
    sink.publish(score(1))
    assert sink.stop("over", patience_s=10) == 1
    _, counts, outbox = sink.report
    assert (counts.published, counts.acknowledged, counts.denied) == (1, 0, 1)
    assert (outbox.waiting, outbox.parked) == (0, 1)
    assert "refused 1 event:" in outbox.troubles[0]
    assert "[mqtt] The broker at" in caplog.text
    assert "Allow writing to asd-edge/box/fan/score" in caplog.text
    (tmp_path / "acl").write_text(f"user box\ntopic write asd-edge/box/#\n{READER}")
    broker.stop()
    broker.start()
    listener = listen(broker.port, username="reader", password="readers")
    kept = Outbox(tmp_path / "outbox-0" / "mqtt.db", OutboxTable())
    table = MqttTable(port=broker.port, username="box", password_file=tmp_path / "right")
    again = MqttSink(table, TOPICS, kept, 2_048, lambda: REPORT)
    again.start()
    assert listener.wait("/history", lambda _: True)["events"][0]["payload"]["start"] == 1
    assert again.stop("over", patience_s=10) == 0


def test_an_error_while_describing_the_device_does_not_end_the_sink(broker: Any, listen: Any, make_sink: Any) -> None:
    answers = iter([REPORT])

    def describe() -> DeviceReport:
        return next(answers, None) or 1 / 0  # type: ignore[return-value]

    sink = make_sink(broker.port, describe=describe)
    assert sink.wait_open(10)
    sink.announce("this one fails")
    listener = listen(broker.port)
    sink.publish(score(7))
    assert listener.wait("/score", lambda _: True)["start"] == 7


def test_mqtt_3_1_1_can_be_configured(broker: Any, listen: Any, make_sink: Any) -> None:
    sink = make_sink(broker.port, protocol="3.1.1")
    assert sink.wait_open(10)
    link = listen(broker.port).wait("/status", lambda _: True)["link"]
    assert (link["protocol"], link["fallback"], link["denials_visible"]) == ("3.1.1", False, False)


def test_tls_with_a_certificate_of_our_own(
    make_broker: Any, make_sink: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    subprocess.run(
        [
            *(
                required_tool("openssl", "openssl"),
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=broker",
            ),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    broker = make_broker(f"allow_anonymous true\ncertfile {tmp_path / 'cert.pem'}\nkeyfile {tmp_path / 'key.pem'}\n")
    broker.start()
    assert make_sink(broker.port, tls=TlsTable(ca_file=tmp_path / "cert.pem")).wait_open(10)
    with pytest.raises(SinkError) as caught:  # a broker that nobody vouches for is not talked to
        probe(MqttTable(host="127.0.0.1", port=broker.port, tls=TlsTable()))
    assert "certificate verify failed" in caught.value.found


@pytest.mark.parametrize("table", [TlsTable(ca_file=Path("/nonexistent/ca.pem")), TlsTable(ca_file=Path(__file__))])
def test_tls_files_that_cannot_be_used_are_a_clear_error(table: TlsTable, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="TLS files") as caught:
        MqttSink(MqttTable(tls=table), TOPICS, Outbox(tmp_path / "mqtt.db", OutboxTable()), 2_048, lambda: REPORT)
    assert "[mqtt.tls]" in caught.value.remedy


def test_a_credential_of_systemd_comes_before_the_password_file(
    make_broker: Any, make_sink: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = password_broker(make_broker, tmp_path, f"user box\ntopic write asd-edge/box/#\n{READER}")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    (tmp_path / "right").write_text("secret\n")
    (credentials / "other").write_text("secret\n")
    for name in ("right", "other"):  # the file itself, where there is no credential of its name; the credential alone
        table = MqttTable(port=broker.port, username="box", password_file=tmp_path / name)
        assert probe(table) == "5"
    (credentials / "right").write_text("guess\n")
    with pytest.raises(SinkError, match="cannot be used"):
        probe(MqttTable(port=broker.port, username="box", password_file=tmp_path / "right"))


def test_a_missing_password_file_is_a_clear_error(tmp_path: Path) -> None:
    table = MqttTable(username="box", password_file=tmp_path / "nothing")
    with pytest.raises(SinkError, match="password cannot be read"):
        MqttSink(table, TOPICS, Outbox(tmp_path / "mqtt.db", OutboxTable()), 2_048, lambda: REPORT)


def test_the_probe_names_an_unreachable_broker(make_broker: Any) -> None:
    broker = make_broker()
    with pytest.raises(SinkError) as caught:
        probe(MqttTable(host="127.0.0.1", port=broker.port), timeout_s=5)
    assert "Connection refused" in caught.value.found
    broker.start()
    assert probe(MqttTable(host="127.0.0.1", port=broker.port)) == "5"


@contextmanager
def hanging_up() -> Iterator[int]:
    """A server that accepts connections and closes each at once; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:  # the test is over
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_server_that_hangs_up_is_said_once_with_what_to_look_at(
    make_sink: Any, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    with hanging_up() as port:
        assert not make_sink(port, protocol=protocol).wait_open(4.5)  # three attempts
        with pytest.raises(SinkError) as caught:
            probe(MqttTable(host="127.0.0.1", port=port, protocol=protocol), timeout_s=5)  # type: ignore[arg-type]
    assert caplog.text.count("closed at once") == 1
    for text in (caplog.text, str(caught.value)):
        assert "closed at once" in text
        assert "TLS" in text
        assert 'protocol = "3.1.1"' in text


def test_a_broker_without_mqtt_5_is_talked_to_in_3_1_1_and_the_status_says_so(
    listen: Any, make_sink: Any, caplog: pytest.LogCaptureFixture
) -> None:
    required_module("amqtt", "demo")  # the broker that does not speak MQTT 5
    with demo_broker(mosquitto="") as old:
        listener = listen(old.port)
        sink = make_sink(old.port)
        assert sink.wait_open(20)
        sink.publish(score(1))
        assert listener.wait("/score", lambda _: True)["start"] == 1
        link = listener.wait("/status", lambda _: True)["link"]
        assert (link["protocol"], link["fallback"]) == ("3.1.1", True)
        assert sink.stop("over", patience_s=10) == 0
        assert probe(MqttTable(host="127.0.0.1", port=old.port)).startswith("3.1.1")
    assert "falling back to MQTT 3.1.1" in caplog.text
