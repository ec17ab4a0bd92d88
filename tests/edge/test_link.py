"""The link against brokers that take a connection and are of no use, or of less use than others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asd_edge.config import MqttTable, OutboxTable
from asd_edge.events import AlarmChange
from asd_edge.sinks.link.link import Link
from asd_edge.sinks.link.subscription import Subscription
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import Message
from tests.edge.bad_broker import BadBroker
from tests.edge.outages import REPORT, TOPICS, alarm, history, score


@pytest.fixture
def bad_broker() -> Iterator[Callable[..., BadBroker]]:
    brokers: list[BadBroker] = []

    def make(**behaviour: Any) -> BadBroker:
        brokers.append(BadBroker(**behaviour))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.close()


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("acknowledges", [0, 3])
def test_a_broker_that_acknowledges_no_more_is_left_for_the_next(
    broker: Any, listen: Any, bad_broker: Any, make_sink: Any, monkeypatch: pytest.MonkeyPatch, acknowledges: int
) -> None:
    monkeypatch.setattr("asd_edge.sinks.link.link._ACKNOWLEDGE_S", 1.0)
    mute = bad_broker(acknowledges=acknowledges)
    sink = make_sink(mute.port, fallbacks=(f"127.0.0.1:{broker.port}",))
    sink.publish(alarm(1, active=True))
    if acknowledges:
        assert sink.wait_open(10)
    for number in range(10):
        sink.publish(score(number))
    wait_until(lambda: mute.unanswered > 0)
    assert sink.report[0].connected is (acknowledges > 0)  # a connection of no use is none
    listener = listen(broker.port)
    online = listener.wait("/status", lambda _: True)
    assert online["link"]["connected"] is True
    assert online["link"]["trouble"] == "no acknowledgement for 1 s"
    listener.wait("/alarm", lambda payload: payload["active"])
    listener.wait("/history", lambda _: [e["payload"]["start"] for e in history(listener)][-1] == 9)
    assert len(mute.connects) == 2  # the first asked for the version


@pytest.mark.parametrize("cuts_at", [1, 2])
def test_a_broker_that_takes_connections_and_cuts_them_does_not_keep_a_device_from_the_next(
    broker: Any, listen: Any, bad_broker: Any, make_sink: Any, cuts_at: int
) -> None:
    cutting = bad_broker(cuts_at=cuts_at)
    sink = make_sink(cutting.port, fallbacks=(f"127.0.0.1:{broker.port}",))
    sink.publish(alarm(1, active=True))
    assert listen(broker.port).wait("/alarm", lambda _: True, 5.0)["active"]
    assert len(cutting.connects) == 2


def test_a_session_that_is_taken_over_means_another_device_of_this_id(bad_broker: Any, make_sink: Any) -> None:
    broker = bad_broker(cuts_at=2, last_word=b"\xe0\x02\x8e\x00")  # mosquitto 2.0.11 says nothing
    sink = make_sink(broker.port)
    sink.publish(alarm(1, active=True))
    wait_until(lambda: sink.report[0].trouble is not None)
    assert sink.report[0].trouble == "Session taken over: another client connects as asd-edge-box"


def test_devices_of_one_id_say_so_in_log_and_status(
    broker: Any, listen: Any, make_sink: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert make_sink(broker.port).wait_open(10)
    make_sink(broker.port)
    listener = listen(broker.port)
    listener.wait("/status", lambda status: status.get("link", {}).get("trouble") == "the connection broke")
    assert caplog.text.count("If something else connects as asd-edge-box") in (1, 2)


def test_what_is_larger_than_the_broker_takes_is_cut_or_parked(make_broker: Any, listen: Any, make_sink: Any) -> None:
    broker = make_broker("allow_anonymous true\nmax_packet_size 2000\n")
    sink = make_sink(broker.port)
    sink.publish(alarm(1, active=True))
    sink.publish(AlarmChange("fan", 2.0, True, 2.0, 0.3, 0.2, "c" * 2_000, 750))
    for number in range(300):
        sink.publish(score(number))
    time.sleep(0.5)
    broker.start()
    listener = listen(broker.port)
    listener.wait("/history", lambda _: len(history(listener)) == 300)
    assert [event["payload"]["start"] for event in history(listener)] == list(range(300))
    assert len(listener.of("/history")) < 60  # well filled
    wait_until(lambda: (sink.report[2].waiting, sink.report[2].parked) == (0, 1))
    assert len(listener.of("/alarm")) == 1
    assert [status["reason"] for status in listener.of("/status")] == ["connected"]


def test_no_more_is_on_its_way_than_the_broker_allows(bad_broker: Any, make_sink: Any) -> None:
    broker = bad_broker(acknowledges=1, connack=b"\x21\x00\x05")  # Receive Maximum 5
    sink = make_sink(broker.port)
    assert sink.wait_open(10)
    for number in range(30):
        sink.publish(alarm(number, active=True))
        sink.publish(score(number))
    wait_until(lambda: broker.unanswered >= 5)
    time.sleep(0.5)
    assert broker.unanswered == 5
    assert sink.report[1].published > 5


def test_a_huge_message_is_not_sent_to_us(broker: Any, listen: Any, tmp_path: Any) -> None:
    arrived: list[bytes] = []
    sink = MqttSink(MqttTable(port=broker.port), TOPICS, Outbox(tmp_path / "q", OutboxTable()), 2_048, lambda: REPORT)
    sink.subscribe(Subscription("request", lambda payload, _: arrived.append(payload)))
    sink.start()
    try:
        assert sink.wait_open(10)
        operator = listen(broker.port, "none")._client
        operator.publish("request", bytes(70_000), qos=1)
        operator.publish("request", b"small", qos=1)
        wait_until(lambda: bool(arrived))
        assert arrived == [b"small"]
    finally:
        sink.stop("over", patience_s=0.0)


def test_a_subscription_that_is_refused_stays_a_trouble(
    bad_broker: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.sinks.link.link._STANDS_AFTER_S", 0.1)
    broker = bad_broker(suback=0x87)
    sink = MqttSink(MqttTable(port=broker.port), TOPICS, Outbox(tmp_path / "q", OutboxTable()), 2_048, lambda: REPORT)
    sink.subscribe(Subscription("request", lambda *_: None))
    sink.start()
    try:
        assert sink.wait_open(10)
        time.sleep(0.6)  # it stands
        assert sink.report[0].trouble == "Not authorized"
    finally:
        sink.stop("over", patience_s=0.0)


class Owner:
    """Does nothing with a link, in the order in which it is told to."""

    def __init__(self) -> None:
        self.tasks: list[Callable[[], None]] = []

    def will(self) -> Message:
        return Message("will", b"")

    def on_up(self) -> None: ...

    def on_down(self) -> None: ...

    def on_acknowledged(self, mid: int, refusal: str | None) -> None: ...


def test_why_a_connection_ended_is_heard_before_that_its_thread_has(make_broker: Any) -> None:
    owner = Owner()
    link = Link(MqttTable(port=make_broker().port), "box", owner, owner.tasks.append)  # it is down
    link.tick()
    assert link._connection is not None
    link._connection.join(10.0)
    link.tick()  # before any task was done
    for task in owner.tasks:
        task()
    assert "refused" in str(link.report.trouble)
