"""docs/configuration.md says what the model says: every key, its default, what it may be, what it means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from asd_edge.config import (
    BundleTable,
    DecisionTable,
    DeviceConfig,
    DeviceTable,
    EngineTable,
    EvidenceTable,
    MachineTable,
    MicrophoneTable,
    MqttTable,
    OutboxTable,
    PrometheusTable,
    RemoteTable,
    SparkplugTable,
    TlsTable,
    load_config,
)
from asd_edge.strict import Strict

pytestmark = pytest.mark.once

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
TABLES: dict[str, type[Strict]] = {
    "[device]": DeviceTable,
    "[bundle]": BundleTable,
    "[engine]": EngineTable,
    "[mqtt]": MqttTable,
    "[mqtt.tls]": TlsTable,
    "[sparkplug]": SparkplugTable,
    "[outbox]": OutboxTable,
    "[evidence]": EvidenceTable,
    "[prometheus]": PrometheusTable,
    "[remote]": RemoteTable,
    "[[machines]]": MachineTable,
    "[machines.decision]": DecisionTable,
    "[machines.microphone]": MicrophoneTable,
}


def rows(model: type[Strict]) -> list[str]:
    """The rows of the key table that belongs to `model`."""
    schema = model.model_json_schema(mode="serialization")
    return [
        f"| `{key}` | {default(field)} | {allowed(schema['properties'][key])} | {field.description} |"
        for key, field in model.model_fields.items()
        if not is_table(field.annotation)
    ]


def is_table(annotation: Any) -> bool:
    return annotation in TABLES.values() or annotation == TlsTable | None


def default(field: Any) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "–"
    if field.default == ():
        return "`[]`"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    text = f'"{field.default}"' if isinstance(field.default, (str, Path)) else f"{field.default}"
    return f"`{text}`"


def allowed(schema: dict[str, Any]) -> str:
    """What a value may be, from the JSON Schema of its key."""
    kind = next((part for part in schema.get("anyOf", []) if part.get("type") != "null"), schema)
    if "enum" in kind:
        return " or ".join(f'`"{value}"`' for value in kind["enum"])
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    name = (names | {"array": "list of texts"})[kind["type"]]
    low, high = kind.get("minimum"), kind.get("maximum", kind.get("exclusiveMaximum"))
    if low is None:
        return name
    return f"{name}, {low:g} to {'below ' if 'exclusiveMaximum' in kind else ''}{high:.10g}"


@pytest.mark.parametrize("heading", TABLES)
def test_each_table_is_documented_as_the_model_has_it(heading):
    wanted = ["| key | default | value | meaning |", "|---|---|---|---|", *rows(TABLES[heading])]
    section = re.search(rf"^## `{re.escape(heading)}`\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.M | re.S)
    assert section is not None, f"docs/configuration.md has no section `{heading}`"
    found = [line for line in section[1].splitlines() if line.startswith("|")]
    assert found == wanted, "the table should read:\n" + "\n".join(wanted)


def test_every_table_of_the_model_has_a_section():
    def tables_in(model: type[Strict]) -> set[type[Strict]]:
        found = {model}
        for table in TABLES.values():
            if any(str(table.__name__) in str(field.annotation) for field in model.model_fields.values()):
                found |= tables_in(table)
        return found

    assert tables_in(DeviceConfig) - {DeviceConfig} == set(TABLES.values())


def test_the_whole_example_loads_and_says_every_key(tmp_path):
    example = re.search(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert example is not None
    path = tmp_path / "device.toml"
    path.write_text(example[1])
    config = load_config(path)
    machine = config.machines[0]
    assert config.mqtt.tls is not None
    tables = [
        config.device,
        config.bundle,
        config.engine,
        config.mqtt,
        config.mqtt.tls,
        config.sparkplug,
        config.outbox,
    ]
    tables += [config.evidence, config.prometheus, config.remote, machine, machine.decision, machine.microphone]
    for said in tables:
        assert said.model_fields_set | {"tls"} >= set(type(said).model_fields)
