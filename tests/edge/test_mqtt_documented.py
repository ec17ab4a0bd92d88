"""docs/mqtt.md shows what really goes over the wire."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.sinks.mqtt import WAITING
from asd_edge.sinks.payloads import schema
from asd_edge.sinks.topics import Topics

TEXT = (Path(__file__).parents[2] / "docs" / "mqtt.md").read_text("utf-8")
EXAMPLES = re.findall(r"```json (\w+)\n(.*?)```", TEXT, re.DOTALL)


def test_there_is_an_example_of_every_payload() -> None:
    assert {name for name, _ in EXAMPLES} == {"score", "alarm", "status", "event"}


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_each_example_satisfies_its_schema(name: Any, example: str) -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(json.loads(example))


def test_the_score_is_of_one_window_of_the_default_bundle() -> None:
    (score,) = (json.loads(example) for name, example in EXAMPLES if name == "score")
    manifest = load_bundle("default").manifest
    front_end, segment, window = manifest.front_end, manifest.segment, manifest.window
    frames = (window.segments - 1) * segment.step + segment.frames
    assert score["stop"] - score["start"] == (frames - 1) * front_end.hop + front_end.window == 131_584


def test_topics_and_limits_are_those_of_the_code() -> None:
    topics = Topics("<prefix>", "<device>")
    for topic in (topics.status, topics.score("<machine>"), topics.alarm("<machine>"), topics.event("<machine>")):
        assert f"`{topic}`" in TEXT
    assert f"the {WAITING} most recent messages" in TEXT
