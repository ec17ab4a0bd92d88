"""firmware_configs/node-red/flow.json, run by Node-RED and heard through its own debug nodes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.edge.test_broker_examples import Client, Example, certificates
from tests.edge.test_scada_examples import FLOW, HISTORY, SAMPLE, TOPICS


def wait_for(what: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def at(port: int, authority: Path) -> str:
    """Return the flow with this broker and these certificates, and debug nodes that print a line each."""
    flow = [dict(node) for node in FLOW]
    for node in flow:
        match node["type"]:
            case "mqtt-broker":
                node |= {"broker": "127.0.0.1", "port": str(port)}
            case "tls-config":
                node |= {"cert": f"{authority}/node-red.pem", "key": f"{authority}/node-red.key"}
                node["ca"] = f"{authority}/ca.pem"
            case "debug":
                node |= {"console": True, "complete": "payload.id" if node["name"] != "devices" else "payload.good"}
    return json.dumps(flow)


def test_live_scores_and_those_of_an_outage_arrive_once(tmp_path: Path) -> None:
    authority = tmp_path / "plant-ca"
    certificates("authority", authority)
    certificates("server", authority, "127.0.0.1")
    for name in ("node-red", "press-hall-3", "hall-3-bridge"):
        certificates("device", authority, name)
    broker = Example(tmp_path / "broker", authority)
    broker.start()
    (tmp_path / "flow.json").write_text(at(broker.port, authority))
    log = tmp_path / "node-red.log"
    with log.open("wb") as out:
        command = [os.environ["NODE_RED"], "--userDir", str(tmp_path), "--port", "0", "flow.json"]
        node_red = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=tmp_path)
    try:
        wait_for(lambda: "Connected to broker" in log.read_text())
        device = Client(broker, authority, "press-hall-3")
        time.sleep(0.5)  # it subscribes
        device.publish(TOPICS.of("fan-7", "score"), SAMPLE["score"])
        device.publish(TOPICS.history, HISTORY)
        device.publish(TOPICS.history, HISTORY)  # again, as after a broken connection
        device.publish(TOPICS.status, SAMPLE["status"])
        wait_for(lambda: "[debug:devices]" in log.read_text())
        device.close()
        said = [line.split("] ", 2)[2] for line in log.read_text().splitlines() if "[debug:" in line]
    finally:
        node_red.terminate()
        node_red.wait(10)
        broker.stop()
    first = SAMPLE["score"]["id"]  # the alarm of the sample has the same, and passes as little as the second history
    assert sorted(said) == [str(first), str(first + 1), "false"]
