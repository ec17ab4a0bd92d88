"""The edge node over a real mosquitto: what a host sees, and what the broker's log says of the packets."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import OutboxTable, SparkplugTable
from asd_edge.events import AlarmChange, WindowScore, WindowState
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import DeviceReport, EngineReport, MachineReport, MachineState
from asd_edge.sinks.sparkplug.bd_seq import BdSeq
from asd_edge.sinks.sparkplug.node import SparkplugNode
from tests.edge.old_broker import OldBroker
from tests.edge.sparkplug_listener import SparkplugListener

START = 1_767_225_600.0
STATE = ("spBv1.0/STATE/scada", b'{"online": true, "timestamp": 1767225600000}')


def score(number: int, value: float | None = 0.1, machine: str = "fan-7", **changes: Any) -> WindowScore:
    state = changes.pop("state", WindowState.SCORED)
    if state is WindowState.SCORED:
        return WindowScore(machine, number, number + 1, START + number, state, -30.0, value, 0.2, "rpm1200")
    return WindowScore(machine, number, number + 1, START + number, state, -99.0)


class Plant:
    """What the daemon would say about itself."""

    def __init__(self) -> None:
        self.machines: dict[str, MachineReport] = {}
        self.set("fan-7", "running")
        self.set("pump-2", "running")

    def set(self, machine: str, state: MachineState, error: str | None = None) -> None:
        self.machines[machine] = MachineReport(machine, state, error)

    def describe(self) -> DeviceReport:
        engine = EngineReport("onnxruntime", "fp32")
        return DeviceReport("0.1.0", "0" * 64, engine, tuple(self.machines.values()))


@pytest.fixture
def plant() -> Plant:
    return Plant()


@pytest.fixture
def make_node(tmp_path: Path, plant: Plant) -> Iterator[Callable[..., SparkplugNode]]:
    nodes: list[SparkplugNode] = []

    def make(port: int, keepalive_s: int = 5, **fields: Any) -> SparkplugNode:
        config = SparkplugTable(host="127.0.0.1", port=port, group="plant", **fields)
        config = config.model_copy(update={"keepalive_s": keepalive_s})  # 1 would be too short for a device file
        outbox = Outbox(tmp_path / "outbox" / "sparkplug.db", OutboxTable(replay_s=0))
        node = SparkplugNode(config, "box", outbox, 2_048, plant.describe, BdSeq(tmp_path / "sparkplug.json"))
        node.start()
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.stop("the test is over", patience_s=0.0)
        assert not node.thread.is_alive()


@pytest.fixture
def hear() -> Iterator[Callable[[int], SparkplugListener]]:
    listeners: list[SparkplugListener] = []

    def make(port: int) -> SparkplugListener:
        listeners.append(SparkplugListener(port))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


def logging_broker(make_broker: Any, folder: Path) -> tuple[Any, Path]:
    log = folder / "mosquitto.log"
    broker = make_broker(f"allow_anonymous true\nlog_type all\nlog_dest file {log}\n")
    broker.start()
    return broker, log


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_packets_of_a_session(
    make_broker: Any, hear: Any, make_node: Any, tmp_path: Path, protocol: str, plant: Plant
) -> None:
    """tck-id-principles-persistence-clean-session-{50,311}, tck-id-payloads-ndeath-will-message-publisher-disconnect-*,
    and in what order and with which flags the rest goes out."""
    broker, log = logging_broker(make_broker, tmp_path)
    host = hear(broker.port)
    node = make_node(broker.port, protocol=protocol)
    assert node.wait_open(10)
    for number in range(20):
        node.publish(score(number, 0.1 + number / 100))
    node.publish(AlarmChange("fan-7", START + 30, True, START + 18, 0.3, 0.2, "rpm1200"))
    assert node.stop("stopped", patience_s=10) == 0
    deaths = 2 if protocol == "5" else 1  # with MQTT 5 the Will follows the NDEATH: reason code 4
    host.wait("NDEATH", lambda _: [h.kind for h in host.heard].count("NDEATH") == deaths)
    assert [h.kind for h in host.heard if h.kind != "DDATA"] == ["NBIRTH", "DBIRTH", "DBIRTH", *["NDEATH"] * deaths]
    assert {h.values()["bdSeq"] for h in host.of("NDEATH")} == {0}
    assert host.of("DDATA")[-1].values()["Alarm/Active"] is True
    assert [h.payload.seq for h in host.of("NBIRTH", "DBIRTH", "DDATA")] == list(range(3 + len(host.of("DDATA"))))
    assert not any(h.retained for h in host.heard)

    lines = log.read_text()
    ours = re.findall(r"asd-edge-sparkplug-box \((?:p(\d), )?c1, k5", lines)
    assert ours == ["5" if protocol == "5" else "2"]  # c1: clean start; one CONNECT, for no version is asked for
    assert re.search(r"Will message specified \(\d+ bytes\) \(r0, q1\)", lines)
    packets = re.findall(r"Received (SUBSCRIBE|PUBLISH|DISCONNECT) from asd-edge-sparkplug-box(?: \((.*)\))?", lines)
    assert packets[0][0] == "SUBSCRIBE"
    assert re.search(r"spBv1.0/plant/NCMD/box \(QoS 1\)", lines)
    published = [text for what, text in packets if what == "PUBLISH"]
    flags = [re.match(r"d0, q(\d), r0, m\d+, 'spBv1.0/plant/(\w+)/", text) for text in published]
    assert all(flags)
    qos = {found[2]: found[1] for found in flags if found}
    assert qos == {"NBIRTH": "0", "DBIRTH": "0", "DDATA": "0", "NDEATH": "1"}
    assert [what for what, _ in packets][-2:] == ["PUBLISH", "DISCONNECT"]


def test_a_bad_microphone_is_bad_quality_and_a_dead_one_a_dead_device(
    broker: Any, hear: Any, make_node: Any, plant: Plant
) -> None:
    host = hear(broker.port)
    node = make_node(broker.port)
    assert node.wait_open(10)
    node.publish(score(1, 0.1))
    node.publish(score(2, state=WindowState.BAD_QUALITY))
    bad = host.wait("DDATA", lambda h: h.values().get("State") == "bad_quality")
    assert bad.values() == {"Score": None, "Threshold": None, "Condition": None, "State": "bad_quality", "Level": -99.0}
    assert {bad.quality(name) for name in bad.values()} == {0}
    node.publish(score(3, state=WindowState.IDLE))
    idle = host.wait("DDATA", lambda h: h.values().get("State") == "idle")
    assert {name: idle.values()[name] for name in ("Score", "State")} == {"Score": None, "State": "idle"}
    assert {idle.quality(name) for name in idle.values()} == {192}

    plant.set("fan-7", "failed", "The microphone is unplugged")
    node.announce("fan-7 failed")
    death = host.wait("DDEATH")
    assert (death.device, len(death.payload.metrics)) == ("fan-7", 0)
    assert host.wait("DDATA", lambda h: h.values().get("Health/NE107") == 1).values()["Health/Error"]
    assert host.wait("NDATA", lambda h: "Health/NE107" in h.values()).values() == {
        "Health/NE107": 1,
        "Health/Error": "fan-7: The microphone is unplugged",
    }
    plant.set("fan-7", "running")
    host.clear()
    node.announce("fan-7 running")
    birth = host.wait("DBIRTH")
    assert birth.device == "fan-7"
    assert (birth.values()["Score"], birth.quality("Score"), birth.values()["Health/NE107"]) == (None, 0, 0)


def test_what_a_frozen_broker_may_not_have_passed_on_comes_again_as_history(
    make_broker: Any, hear: Any, make_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.sinks.sparkplug.replay._MARGIN_S", 60.0)  # however slow this machine is
    broker = make_broker()
    broker.start()
    before = hear(broker.port)
    node = make_node(broker.port, 1, primary_host="scada")  # so that nobody speaks before somebody listens
    before.publish(*STATE, retain=True)
    assert node.wait_open(10)
    for number in range(6):
        node.publish(score(number, number / 100))
    before.wait("DDATA", lambda h: h.values().get("Score") == 0.05)
    broker.freeze()  # the link is half open: what is sent now seems to be sent
    for number in range(6, 100):
        node.publish(score(number, number / 100))
    deadline = time.monotonic() + 15.0
    while node.report[0].connected:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    broker.stop()
    for number in range(100, 300):
        node.publish(score(number, number / 100))
    node.publish(AlarmChange("fan-7", START + 299, True, START + 290, 2.9, 0.2, "rpm1200"))
    time.sleep(0.5)
    broker.start()
    host = hear(broker.port)
    host.publish(*STATE, retain=True)
    host.wait("DDATA", lambda h: 2.99 in _scores(h))
    node.publish(score(300, 3.0))
    host.wait("DDATA", lambda h: h.values().get("Score") == 3.0)
    birth = host.of("DBIRTH")[0]
    assert birth.values()["Score"] == 2.99  # the present values
    assert birth.values()["Alarm/Active"] is True
    history = [value for heard in host.of("DDATA") for value in _scores(heard)]
    assert history == [number / 100 for number in range(300)]
    assert host.of("DDATA")[0].values(historical=True)["Alarm/Active"] is True  # alarms first
    assert host.of("NBIRTH")[0].values()["bdSeq"] == 1  # one CONNECT after the first, however many attempts


def _scores(heard: Any) -> list[float]:
    return [m.double_value for m in heard.payload.metrics if m.is_historical and m.name == "Score"]


def test_a_restarted_daemon_goes_on_counting_and_tells_what_it_could_not(
    make_broker: Any, hear: Any, make_node: Any, plant: Plant, tmp_path: Path
) -> None:
    broker = make_broker()
    first = make_node(broker.port)
    for number in range(10):
        first.publish(score(number, number / 100, machine="pump-2"))
    assert first.stop("killed", patience_s=1.0) == 10
    assert not (tmp_path / "sparkplug.json").exists()  # vain attempts have no number, and wear out no flash
    plant.machines.pop("pump-2")  # and is not in the device file any more
    broker.start()
    host = hear(broker.port)
    second = make_node(broker.port)
    assert second.wait_open(10)
    host.wait("DDEATH")
    assert [h.kind for h in host.heard if h.device == "pump-2"] == ["DBIRTH", "DDATA", "DDEATH"]
    assert [value for heard in host.of("DDATA") for value in _scores(heard)] == [number / 100 for number in range(10)]
    assert second.stop("stopped", patience_s=10) == 0
    assert host.of("NBIRTH")[0].values()["bdSeq"] == 0  # the first node sent no CONNECT
    third = make_node(broker.port)
    assert third.wait_open(10)
    assert host.wait("NBIRTH", lambda h: h.values()["bdSeq"] != 0).values()["bdSeq"] == 1


def test_history_is_cut_to_what_the_broker_takes(make_broker: Any, hear: Any, make_node: Any) -> None:
    broker = make_broker("allow_anonymous true\nmax_packet_size 8000\n")
    node = make_node(broker.port)
    for number in range(300):
        node.publish(score(number, number / 100))
    time.sleep(0.5)
    broker.start()
    host = hear(broker.port)
    host.wait("DDATA", lambda h: 2.99 in _scores(h))
    deadline = time.monotonic() + 5.0
    while node._outbox.report.waiting != 300:  # they stay on the disk for a while, but wait for nothing
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert node.report[2].waiting == 0
    assert [value for heard in host.of("DDATA") for value in _scores(heard)] == [number / 100 for number in range(300)]
    assert len(host.of("NBIRTH")) == 1


def test_no_command_hurts(
    broker: Any, hear: Any, make_node: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.sinks.sparkplug.session.REBIRTH_EVERY_S", 0.5)
    host = hear(broker.port)
    node = make_node(broker.port)
    assert node.wait_open(10)
    rng = random.Random(3)
    for _ in range(300):
        host.publish("spBv1.0/plant/NCMD/box", rng.randbytes(rng.randint(0, 60)))
    host.publish("spBv1.0/plant/NCMD/box", b"\x12\x00" * 500_000)
    node.publish(score(1, 0.77))
    host.wait("DDATA", lambda h: h.values().get("Score") == 0.77)
    assert node.thread.is_alive()
    assert len(host.of("NBIRTH")) == 1
    host.ask_for_rebirth()
    host.wait("NBIRTH", lambda _: len(host.of("NBIRTH")) == 2)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_primary_host_decides_on_which_server_data_goes_out(make_broker: Any, hear: Any, make_node: Any) -> None:
    first, second = make_broker(), make_broker()
    first.start()
    second.start()
    hosts = [hear(first.port), hear(second.port)]
    state = "spBv1.0/STATE/scada"
    hosts[0].publish(state, json.dumps({"online": False, "timestamp": 5}).encode(), retain=True)
    hosts[1].publish(state, json.dumps({"online": True, "timestamp": 9}).encode(), retain=True)
    node = make_node(first.port, fallbacks=(f"127.0.0.1:{second.port}",), primary_host="scada")
    node.publish(score(1, 0.5))
    assert node.wait_open(10)
    hosts[1].wait("DBIRTH")
    assert {h.kind for h in hosts[0].heard} == {"NDEATH"}
    hosts[0].publish(state, json.dumps({"online": True, "timestamp": 10}).encode(), retain=True)
    hosts[1].publish(state, json.dumps({"online": False, "timestamp": 10}).encode(), retain=True)
    hosts[1].wait("NDEATH")
    hosts[0].wait("DDATA", lambda h: 0.5 in _scores(h))
    assert [h.values()["bdSeq"] for h in (*hosts[1].of("NBIRTH"), *hosts[0].of("NBIRTH"))] == [1, 2]


def test_every_connect_has_a_will_also_to_a_broker_that_refuses_mqtt_5(broker: Any, hear: Any, make_node: Any) -> None:
    host = hear(broker.port)
    old = OldBroker(broker.port)
    try:
        node = make_node(old.port)
        assert node.wait_open(10)
        assert host.wait("NBIRTH").values()["bdSeq"] == 1  # the refused CONNECT had 0
        assert node.stop("stopped", patience_s=10) == 0
        host.wait("NDEATH")
    finally:
        old.close()
    assert [connect[connect.index(b"MQTT") + 4] for connect in old.connects] == [5, 4]
    for connect in old.connects:
        flags = connect[connect.index(b"MQTT") + 5]
        assert flags & 0b0011_1110 == 0b0000_1110  # will, its QoS 1, not retained, clean
        assert b"spBv1.0/plant/NDEATH/box" in connect
