"""An independent host, the npm packages sparkplug-client and sparkplug-payload, beside our node on a real mosquitto."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import OutboxTable, SparkplugTable
from asd_edge.events import AlarmChange, ConditionsChanged, DriftSuspected, WindowScore, WindowState
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.payloads import DeviceReport, EngineReport, MachineReport, entry_of
from asd_edge.sinks.sparkplug.bd_seq import BdSeq
from asd_edge.sinks.sparkplug.codec import DataType, Property, decode
from asd_edge.sinks.sparkplug.metrics import MACHINE, NODE
from asd_edge.sinks.sparkplug.node import SparkplugNode
from tests.edge.sparkplug_host import NpmHost
from tests.edge.sparkplug_listener import SparkplugListener

pytestmark = pytest.mark.once

START = 1_767_225_600.0
REPORT = DeviceReport(
    "0.1.0",
    "0" * 64,
    EngineReport("onnxruntime", "fp32"),
    (MachineReport("fan-7", "running"), MachineReport("pump-2", "failed", "unplugged")),
)


@pytest.fixture
def host(broker: Any) -> Iterator[NpmHost]:
    made = NpmHost(broker.port, "plant")
    yield made
    made.close()


def until(host: NpmHost, wanted: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + 10.0
    while not wanted(found := host.report()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def tags(known: Any) -> Any:
    """What the host knows of the machine; nothing before its birth."""
    device = known["nodes"].get("box", {"devices": {}})["devices"].get("fan-7", {"tags": {}})
    return defaultdict(lambda: {"value": None}, device["tags"])


def test_an_independent_host_understands_everything(
    broker: Any, host: NpmHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_edge.sinks.sparkplug.session.REBIRTH_EVERY_S", 0.0)
    config = SparkplugTable(host="127.0.0.1", port=broker.port, group="plant")
    outbox = Outbox(tmp_path / "sparkplug.db", OutboxTable())
    before = [WindowScore("fan-7", n, n + 1, START + n, WindowState.IDLE, -60.0 - n / 100) for n in range(300)]
    outbox.commit([entry_of(window) for window in before])
    node = SparkplugNode(config, "box", outbox, 2_048, lambda: REPORT, BdSeq(tmp_path / "sparkplug.json"))
    node.start()
    assert node.wait_open(10)
    for number in range(300, 900):  # seq wraps twice
        values = (-30.0, number / 1000, 0.2, "Lüfter")
        node.publish(WindowScore("fan-7", number, number + 1, START + number, WindowState.SCORED, *values))
    node.publish(AlarmChange("fan-7", START + 900, True, START + 888, 0.9, 0.2, "Lüfter"))
    node.publish(ConditionsChanged("fan-7", START + 901, 3, "enroll", "rpm1500", "alice", ("Lüfter", "rpm1500")))
    node.publish(DriftSuspected("fan-7", START + 902, "Lüfter", 0.02, 0.01, 0.2))
    until(host, lambda known: tags(known)["Drift/Mean"]["value"] == 0.02 and len(known["history"]) >= 300)
    host.ask_for_rebirth()
    known = until(host, lambda known: known["nodes"]["box"]["births"] == 2)
    known = until(host, lambda known: "Score" in tags(known))

    assert known["problems"] == []
    box = known["nodes"]["box"]
    assert (box["online"], list(box["devices"])) == (True, ["fan-7"])  # pump-2 is not born while it cannot be heard
    fan = box["devices"]["fan-7"]["tags"]
    assert {name: tag["type"].upper() for name, tag in fan.items()} == {d.name: d.datatype.name for d in MACHINE}
    assert {name: tag["type"].upper() for name, tag in box["tags"].items()} == {d.name: d.datatype.name for d in NODE}
    expected = {
        "Score": 0.899,
        "Condition": "Lüfter",
        "State": "scored",
        "Alarm/Active": True,
        "Alarm/Since": (START + 888) * 1000,
        "Conditions/Revision": 3,
        "Conditions/Known": "Lüfter, rpm1500",
        "Drift/Mean": 0.02,
        "Health/NE107": 0,
        "Health/Error": None,
    }
    assert {name: fan[name]["value"] for name in expected} == expected
    assert fan["Level"]["properties"] | {"documentation": ""} == {
        "Quality": 192,
        "engUnit": "dBFS",
        "engLow": -120,
        "engHigh": 0,
        "documentation": "",
    }
    assert box["tags"]["Health/Error"]["value"] == "pump-2: unplugged"
    levels = [sample["value"] for sample in known["history"] if sample["name"] == "Level"]
    assert levels == [round(window.level_dbfs, 2) for window in before]

    assert node.stop("stopped", patience_s=10) == 0
    left = until(host, lambda known: not known["nodes"]["box"]["online"])
    assert not left["nodes"]["box"]["devices"]["fan-7"]["online"]


def test_our_codec_reads_what_an_independent_encoder_writes(broker: Any) -> None:
    listener = SparkplugListener(broker.port, "others")
    host = NpmHost(broker.port, "plant")
    try:
        birth = decode(listener.wait("NBIRTH").data)
    finally:
        host.close()
        listener.close()
    assert (birth.timestamp, birth.seq) == (1_767_225_600_000, 0)
    values = {metric.datatype: metric.value for metric in birth.metrics[:14]}
    assert values == {
        DataType.INT8: -5,
        DataType.INT16: -300,
        DataType.INT32: -70_000,
        DataType.INT64: -5_000_000_000,
        DataType.UINT8: 200,
        DataType.UINT16: 60_000,
        DataType.UINT32: 4_000_000_000,
        DataType.UINT64: 9_000_000_000,
        DataType.FLOAT: 0.5,
        DataType.DOUBLE: -27.38,
        DataType.BOOLEAN: True,
        DataType.STRING: "Lüfter",
        DataType.DATETIME: 1_767_225_600_123,
        DataType.TEXT: "text",
    }
    assert birth.metrics[9].properties == {
        "engUnit": Property(DataType.STRING, "dBFS"),
        "Quality": Property(DataType.INT32, 192),
    }
    assert (birth.metrics[14].value, birth.metrics[14].name) == (None, "Double 14")
    assert [metric.timestamp for metric in birth.metrics[:3]] == [1_767_225_600_000 + step for step in range(3)]
