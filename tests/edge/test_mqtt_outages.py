"""Brokers that die, change places or refuse: what is committed arrives, and it is said what is wrong."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from asd_edge.config import MqttTable, OutboxTable, TlsTable
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.outbox.database import Database
from asd_edge.sinks.outbox.faults import DiskFaultError
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Lane
from asd_edge.sinks.payloads import entry_of
from tests.edge.certificates import Authority
from tests.edge.outages import REPORT, TOPICS, alarm, history, score


def test_what_a_broker_had_confirmed_before_it_died_comes_again_with_the_same_ids(
    broker: Any, listen: Any, make_sink: Any
) -> None:
    before = listen(broker.port)
    sink = make_sink(broker.port)
    assert sink.wait_open(10)
    sink.publish(alarm(1, active=True))
    for number in range(40):
        sink.publish(score(number))
    before.wait("/fan/score", lambda payload: payload["start"] == 39)
    before.wait("/alarm", lambda _: True)
    broker.kill()
    sink.publish(score(40))
    time.sleep(0.3)  # it is seen that the broker is gone
    broker.start()
    after = listen(broker.port)
    after.wait("/history", lambda _: sorted(e["payload"]["start"] for e in history(after)) == list(range(41)))
    again = {event["payload"]["id"]: event["payload"] for event in history(after)}
    live = {payload["id"]: payload for payload in before.of("/fan/score")}
    assert len(live) == 40
    assert {number: again[number] for number in live} == live
    assert after.wait("/alarm", lambda _: True) == before.of("/alarm")[0]  # the latest stands where it stood


def test_a_device_goes_on_with_the_next_broker_and_says_with_which(
    make_broker: Any, listen: Any, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.sinks.link.link._STANDS_AFTER_S", 0.5)
    first, second = make_broker(), make_broker()
    second.start()
    sink = make_sink(first.port, fallbacks=(f"127.0.0.1:{second.port}",))
    assert sink.wait_open(10)  # the first is down
    there = listen(second.port)
    status = there.wait("/status", lambda status: status["reason"] == "what was wrong is over")
    assert (status["link"]["broker"], status["link"]["trouble"]) == (f"127.0.0.1:{second.port}", None)
    sink.publish(score(1))
    there.wait("/fan/score", lambda payload: payload["start"] == 1)
    first.start()
    second.kill()
    here = listen(first.port)
    assert here.wait("/status", lambda status: status["reason"] == "connected")["link"]["trouble"] is not None
    here.wait("/history", lambda _: [event["payload"]["start"] for event in history(here)] == [1])
    assert sink.stop("over", patience_s=10) == 0


def test_after_an_outage_alarms_go_first_and_live_scores_do_not_wait_for_history(
    broker: Any, listen: Any, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "mqtt.db", OutboxTable())
    for first in range(0, 20_000, 1_000):
        assert outbox.commit([entry_of(score(number)) for number in range(first, first + 1_000)])
    assert outbox.commit([entry_of(alarm(1, active=True)), entry_of(alarm(2, active=False))])
    listener = listen(broker.port)
    sink = MqttSink(MqttTable(port=broker.port), TOPICS, outbox, 1_024, lambda: REPORT)
    sink.start()
    assert sink.wait_open(10)
    for number in range(20_000, 20_010):
        sink.publish(score(number))
        time.sleep(0.1)
    listener.wait("/fan/score", lambda payload: payload["start"] == 20_009)
    seen = len(history(listener))
    assert 0 < seen < 20_000  # history was on its way all the time, and is not done
    order = [(topic, len(payload.get("events", ()))) for topic, payload in listener.messages if "status" not in topic]
    assert [topic.rpartition("/")[2] for topic, _ in order[:2]] == ["alarm", "alarm"]
    while len(history(listener)) < 20_000:
        time.sleep(0.1)
    assert [event["payload"]["start"] for event in history(listener)] == list(range(20_000))
    live = [payload["id"] for payload in listener.of("/fan/score")]
    assert live == list(range(20_003, 20_013))
    assert sink.stop("over", patience_s=10) == 0


def test_a_denial_does_not_come_again_with_every_connection(
    make_broker: Any, listen: Any, make_sink: Any, tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text("topic read #\ntopic write asd-edge/box/status\ntopic write asd-edge/box/history\n")
    broker = make_broker(f"allow_anonymous true\nacl_file {tmp_path / 'acl'}\n")
    broker.start()
    sink = make_sink(broker.port)
    assert sink.wait_open(10)
    sink.publish(score(1))
    deadline = time.monotonic() + 10.0
    while sink.report[1].denied == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    broker.stop()
    broker.start()
    again = listen(broker.port)
    again.wait("/status", lambda status: status["outbox"]["parked"] == 1)  # some brokers hang up at each denial
    assert history(again) == []


def test_a_broker_that_knows_an_alarm_of_long_ago_learns_how_it_stands(
    make_broker: Any, listen: Any, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "mqtt.db", OutboxTable(replay_s=0))
    rows = outbox.commit([entry_of(alarm(1, active=True)), entry_of(alarm(2, active=False))])
    assert rows is not None
    other = make_broker()
    other.start()
    publisher = paho.Client(CallbackAPIVersion.VERSION2)
    publisher.connect("127.0.0.1", other.port)
    publisher.loop_start()
    publisher.publish("asd-edge/box/fan/alarm", rows[0].payload, qos=1, retain=True).wait_for_publish(10)
    publisher.disconnect()
    publisher.loop_stop()
    outbox.settle([1, 2])  # by another broker
    outbox.flush()
    time.sleep(1.2)
    outbox.tick()
    sink = MqttSink(MqttTable(port=other.port), TOPICS, outbox, 2_048, lambda: REPORT)
    sink.start()
    assert sink.wait_open(10)
    listener = listen(other.port)
    assert listener.wait("/alarm", lambda payload: not payload["active"])["id"] == 2
    assert sink.stop("over", patience_s=10) == 0
    assert listen(other.port).wait("/alarm", lambda _: True)["id"] == 2


def test_an_alarm_that_ended_while_the_disk_failed_is_the_last_to_come(
    make_broker: Any, listen: Any, make_sink: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = make_broker()
    sink = make_sink(broker.port)
    sink.publish(alarm(1, active=True))
    time.sleep(0.3)  # on the disk, and nobody there to take it
    commit, failing = Database.insert, [True]

    def insert(database: Database, entry: Any, **number: Any) -> int:  # a disk that fails for a while
        if failing:
            raise sqlite3.OperationalError("disk I/O error")
        return commit(database, entry, **number)

    monkeypatch.setattr(Database, "insert", insert)
    broker.start()
    listener = listen(broker.port)
    assert sink.wait_open(20)
    sink.publish(alarm(2, active=False))
    listener.wait("/alarm", lambda payload: payload["id"] is None)
    failing.clear()
    listener.wait("/alarm", lambda payload: payload["id"] == 2, timeout_s=30)
    assert listen(broker.port).wait("/alarm", lambda _: True)["active"] is False
    assert listener.of("/alarm")[-1]["active"] is False


def test_history_goes_on_after_a_disk_that_could_not_be_read_for_a_moment(
    broker: Any, listen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path / "mqtt.db", OutboxTable())
    assert outbox.commit([entry_of(score(number)) for number in range(2_000)])
    waiting, failures = Database.waiting, iter([True] * 3)

    def fails_first(database: Database, lane: Any, **bounds: Any) -> Any:
        if lane is Lane.SCORE and next(failures, False):
            raise DiskFaultError("disk I/O error")
        return waiting(database, lane, **bounds)

    monkeypatch.setattr(Database, "waiting", fails_first)
    listener = listen(broker.port)
    sink = MqttSink(MqttTable(port=broker.port), TOPICS, outbox, 2_048, lambda: REPORT)
    sink.start()
    listener.wait("/history", lambda _: len(history(listener)) == 2_000, timeout_s=60)
    assert sink.stop("over", patience_s=10) == 0


def test_an_exception_inside_paho_ends_the_connection_and_no_more(
    broker: Any, listen: Any, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(broker.port)
    assert sink.wait_open(10)
    misc, failures = paho.Client.loop_misc, iter([True])

    def fails_once(client: paho.Client) -> Any:  # such an exception cannot be provoked from outside
        if client._client_id == b"asd-edge-box" and next(failures, False):
            raise ZeroDivisionError
        return misc(client)

    listener = listen(broker.port)
    monkeypatch.setattr(paho.Client, "loop_misc", fails_once)
    listener.wait("/status", lambda _: [s["reason"] for s in listener.of("/status")].count("connected") == 2)
    sink.publish(score(1))
    listener.wait("/fan/score", lambda payload: payload["start"] == 1)


def test_an_expired_certificate_is_said_once_and_events_wait(
    make_broker: Any, make_sink: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path / "plant")
    cert, key = authority.sign("broker", ends_d=-1.0)
    broker = make_broker(f"allow_anonymous true\ncertfile {cert}\nkeyfile {key}\n")
    broker.start()
    with caplog.at_level(logging.WARNING):
        sink = make_sink(broker.port, tls=TlsTable(ca_file=authority.ca_file))
        sink.publish(score(1))
        assert not sink.wait_open(4.0)
    assert caplog.text.count("certificate has expired") == 1
    link, _, outbox = sink.report
    assert "certificate has expired" in str(link.trouble)
    assert sink.stop("over", patience_s=0.0) == 1
    assert outbox.fault is None
