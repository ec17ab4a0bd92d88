"""The examples of Telegraf and Node-RED fit what devices say: topics, keys and types of the committed schemas."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asd_edge.sinks.topics import Topics
from tests.edge.required import required_tool

pytestmark = pytest.mark.once

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "edge" / "asd_edge" / "sinks" / "schemas"
TOPICS = Topics("asd-edge", "press-hall-3")
SAMPLE = {
    kind: json.loads(re.findall(f"```json {kind}\n(.*?)```", (ROOT / "docs" / "mqtt.md").read_text(), re.DOTALL)[0])
    for kind in ("score", "alarm", "status")
}
HISTORY = {
    "device": "press-hall-3",
    "events": [
        {"topic": "fan-7/score", "payload": SAMPLE["score"]},
        {"topic": "fan-7/alarm", "payload": SAMPLE["alarm"]},
        {"topic": "fan-7/score", "payload": SAMPLE["score"] | {"id": SAMPLE["score"]["id"] + 1, "score": None}},
    ],
}

INPUTS = tomllib.loads((ROOT / "firmware_configs" / "telegraf" / "telegraf.conf").read_text())["inputs"]
BY_TOPIC = {entry["topics"][0]: entry for entry in INPUTS["mqtt_consumer"]}
STATUS = "asd-edge/+/status"
KIND = {"asd-edge/+/+/score": "score", "asd-edge/+/history": "score", "asd-edge/+/+/alarm": "alarm"}
# Telegraf's types, and those of JSON Schema that they can be made of
TYPES = {"int": {"integer"}, "float": {"number", "integer"}, "string": {"string"}, "bool": {"boolean"}}
FLOW = json.loads((ROOT / "firmware_configs" / "node-red" / "flow.json").read_text())
BY_ID = {node["id"]: node for node in FLOW}
CORE = {"tab", "mqtt in", "mqtt-broker", "tls-config", "function", "switch", "debug"}  # of Node-RED's own palette


def schema(kind: str) -> dict[str, Any]:
    properties: dict[str, Any] = json.loads((SCHEMAS / f"{kind}.json").read_text())["properties"]
    return properties


def levels_match(topic_filter: str, topic: str) -> bool:
    """Say whether an MQTT filter without # takes a topic."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    return len(wanted) == len(given) and all(w in ("+", g) for w, g in zip(wanted, given, strict=True))


class TestTelegraf:
    @staticmethod
    def selected(path: str, payload: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what the two forms of GJSON paths in that file select."""
        if path == "@this":
            yield payload
            return
        found = re.fullmatch(r'events\.#\(topic%"\*(/\w+)"\)#\.payload', path)
        assert found, path
        yield from (event["payload"] for event in payload["events"] if event["topic"].endswith(found[1]))

    def test_it_hears_what_devices_publish(self) -> None:
        published = {TOPICS.of("fan-7", "score"), TOPICS.of("fan-7", "alarm"), TOPICS.history, TOPICS.status}
        assert set(BY_TOPIC) == {*KIND, STATUS}
        for topic in published:
            assert sum(levels_match(wanted, topic) for wanted in BY_TOPIC) == 1

    @pytest.mark.parametrize("topic", [*KIND, STATUS])
    def test_the_device_is_a_tag_from_the_topic(self, topic: str) -> None:
        parsing = BY_TOPIC[topic]["topic_parsing"][0]
        assert parsing["topic"] == topic
        of_device = {"asd-edge/+/history": TOPICS.history, STATUS: TOPICS.status}
        published = of_device.get(topic) or TOPICS.of("fan-7", topic.rpartition("/")[2])
        tags = dict(zip(parsing["tags"].split("/"), published.split("/"), strict=True))
        assert tags["device"] == "press-hall-3"

    @pytest.mark.parametrize("topic", KIND)
    def test_every_key_is_in_the_schema_with_its_type(self, topic: str) -> None:
        table = BY_TOPIC[topic]["json_v2"][0]["object"][0]
        properties = schema(KIND[topic])
        assert set(table["included_keys"]) <= set(properties)
        assert {table["timestamp_key"], *table["tags"], *table["fields"]} == set(table["included_keys"])
        payload: dict[str, Any] = HISTORY if topic.endswith("history") else SAMPLE[KIND[topic]]
        names = {int: "integer", float: "number", str: "string", bool: "boolean"}
        points = list(self.selected(table["path"], payload))
        assert len(points) == (2 if payload is HISTORY else 1)
        for point in points:
            for key, type_ in table["fields"].items():
                assert point[key] is None or names[type(point[key])] in TYPES[type_], key

    def test_an_alarm_is_kept_with_all_that_is_said_of_it(self) -> None:
        assert set(BY_TOPIC["asd-edge/+/+/alarm"]["json_v2"][0]["object"][0]["included_keys"]) == set(schema("alarm"))

    def test_the_status_tells_the_quality_of_a_device_and_of_its_machines(self) -> None:
        device, machine = (entry["object"][0] for entry in BY_TOPIC[STATUS]["json_v2"])
        report = json.loads((SCHEMAS / "status.json").read_text())["$defs"]["report"]["properties"]
        for table, properties in ((device, report), (machine, report["machines"]["items"]["properties"])):
            assert {"state", "health"} < set(table["included_keys"]) <= set(properties)
            assert {*table.get("tags", []), *table["fields"]} == set(table["included_keys"])
        assert (device["path"], machine["path"], machine["optional"]) == ("@this", "machines", True)
        assert machine["tags"] == ["machine"]

    def test_a_score_of_an_outage_becomes_the_same_point_as_a_live_one(self) -> None:
        live, history = (BY_TOPIC[f"asd-edge/+/{end}"]["json_v2"][0] for end in ("+/score", "history"))
        assert live["measurement_name"] == history["measurement_name"]
        for key in ("timestamp_key", "timestamp_format", "tags", "included_keys", "fields"):
            assert live["object"][0][key] == history["object"][0][key]

    def test_it_keeps_its_sessions_so_that_nothing_is_missed_while_it_is_away(self) -> None:
        assert all((entry["qos"], entry["persistent_session"]) == (1, True) for entry in INPUTS["mqtt_consumer"])
        clients = [entry["client_id"] for entry in INPUTS["mqtt_consumer"]]
        assert len(set(clients)) == len(clients)


class TestNodeRed:
    def test_every_node_is_of_the_core_palette_and_on_the_tab(self) -> None:
        assert len(BY_ID) == len(FLOW)
        assert {node["type"] for node in FLOW} == CORE
        assert all(BY_ID[node["z"]]["type"] == "tab" for node in FLOW if "z" in node)

    def test_every_wire_and_reference_leads_to_a_node(self) -> None:
        for node in FLOW:
            for output in node.get("wires", []):
                assert all(target in BY_ID for target in output)
            for key in ("broker", "tls"):
                if node["type"] in ("mqtt in", "mqtt-broker") and (key == "broker") == (node["type"] == "mqtt in"):
                    assert node[key] in BY_ID

    def test_every_debug_node_is_reached_from_an_input(self) -> None:
        reached = {node["id"] for node in FLOW if node["type"] == "mqtt in"}
        while more := {t for i in reached for out in BY_ID[i]["wires"] for t in out} - reached:
            reached |= more
        assert {node["id"] for node in FLOW if node["type"] == "debug"} <= reached

    def test_it_hears_what_devices_publish_as_json(self) -> None:
        inputs = [node for node in FLOW if node["type"] == "mqtt in"]
        topics = [TOPICS.of("fan-7", "score"), TOPICS.of("fan-7", "alarm"), TOPICS.history, TOPICS.status]
        for topic in topics:
            assert sum(levels_match(node["topic"], topic) for node in inputs) == 1
        assert {(node["datatype"], node["qos"]) for node in inputs} == {("json", "1")}

    def run(self, name: str, *messages: dict[str, Any]) -> list[Any]:
        """Return what a function node makes of messages, one after another, run by Node.js with Node-RED's context."""
        code = next(node["func"] for node in FLOW if node.get("name") == name)
        program = (
            "const store = {}, context = {get: (k) => store[k], set: (k, v) => { store[k] = v; }};"
            f"const node = new Function('msg', 'context', {json.dumps(code)});"
            f"const told = {json.dumps(messages)}.map((msg) => node(msg, context) ?? null);"
            "console.log(JSON.stringify(told));"
        )
        done = subprocess.run([required_tool("node", "nodejs"), "-e", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told: list[Any] = json.loads(done.stdout)
        return told

    def test_a_history_becomes_messages_as_they_would_have_come_live(self) -> None:
        (outputs,) = self.run("one message an event", {"topic": TOPICS.history, "payload": HISTORY})
        assert [(message["topic"], message["payload"]) for message in outputs[0]] == [
            (TOPICS.of(*event["topic"].split("/")), event["payload"]) for event in HISTORY["events"]
        ]

    def test_each_event_passes_once_for_each_device(self) -> None:
        score, other = TOPICS.of("fan-7", "score"), Topics("asd-edge", "pump-house").of("fan-7", "score")
        numbers = [(score, 1), (score, 2), (other, 1), (score, 1), (score, 3), (other, 1), (score, None), (score, None)]
        told = self.run("each event once", *({"topic": topic, "payload": {"id": n}} for topic, n in numbers))
        assert [message is not None for message in told] == [True, True, True, False, True, False, True, True]

    def test_a_machine_that_is_not_heard_is_bad_quality(self) -> None:
        well = SAMPLE["status"] | {"machines": [SAMPLE["status"]["machines"][0] | {"health": "normal"}]}
        gone = {"state": "offline", "reason": "connection lost", "device": "press-hall-3"}
        told = self.run("good or bad quality", *({"payload": status} for status in (SAMPLE["status"], well, gone)))
        assert [message["payload"]["good"] for message in told] == [False, True, False]
        assert "pump-2: failure" in told[0]["payload"]["wrong"]
