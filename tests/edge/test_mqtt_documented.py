"""docs/mqtt.md and docs/alarms.md show what really goes over the wire."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from asd_edge.bundle.archive import load_bundle
from asd_edge.events import AlarmCause, Suppression
from asd_edge.remote.command import DOMAIN, Command, canonical, decode
from asd_edge.remote.gate import REQUESTS_PER_MINUTE
from asd_edge.remote.reasons import REASONS
from asd_edge.remote.requests import SIZE_LIMIT
from asd_edge.remote.runner import TIMEOUT_S
from asd_edge.scoring.alarm import SEVERITY_STEP, severity_of
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sinks.payloads import schema
from asd_edge.sinks.topics import Topics

pytestmark = pytest.mark.once

DOCS = Path(__file__).parents[2] / "docs"
TEXT, ALARMS = ((DOCS / name).read_text("utf-8") for name in ("mqtt.md", "alarms.md"))
EXAMPLES = re.findall(r"```json (\w+)\n(.*?)```", TEXT + ALARMS, re.DOTALL)


def test_there_is_an_example_of_every_payload() -> None:
    assert {name for name, _ in EXAMPLES} == {"score", "alarm", "status", "event", "history", "remote"}


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_each_example_satisfies_its_schema(name: Any, example: str) -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(json.loads(example))


def test_the_alarms_in_the_document_have_the_severity_of_their_scores_and_one_name() -> None:
    alarms = [json.loads(example) for name, example in EXAMPLES if name == "alarm"]
    told = [alarm for alarm in alarms if alarm["since"] is not None]
    spec = DecisionSpec()
    assert {alarm["since"] for alarm in told} == {"2026-03-01T08:15:29.920Z"}
    assert {alarm["severity"] for alarm in told} == {severity_of(spec, score=0.031, threshold=0.027)}
    assert f"`decision.severity` ({spec.severity})" in ALARMS
    assert f"risen by {SEVERITY_STEP} or more" in ALARMS
    rows = (
        re.findall(r"[\d.]+", line)
        for line in ALARMS.splitlines()
        if line.startswith(("| score / thr", "| severity |"))
    )
    table = {float(ratio): int(severity) for ratio, severity in zip(*rows, strict=True)}
    assert table == {ratio: severity_of(spec, score=ratio, threshold=1.0) for ratio in table}
    for key in (*told[0], *get_args(AlarmCause), *get_args(Suppression)):
        assert f"`{key}`" in ALARMS or f'`"{key}"`' in ALARMS or key == "machine"


def test_the_score_is_of_one_window_of_the_default_bundle() -> None:
    (score,) = (json.loads(example) for name, example in EXAMPLES if name == "score")
    manifest = load_bundle("default").manifest
    front_end, segment, window = manifest.front_end, manifest.segment, manifest.window
    frames = (window.segments - 1) * segment.step + segment.frames
    assert score["stop"] - score["start"] == (frames - 1) * front_end.hop + front_end.window == 131_584


def test_topics_and_limits_are_those_of_the_code() -> None:
    topics = Topics("<prefix>", "<device>")
    machines = (topics.of("<machine>", kind) for kind in ("score", "alarm", "event"))
    for topic in (topics.status, topics.history, *machines, topics.remote_request, topics.remote_response):
        assert f"`{topic}`" in TEXT


def test_remote_requests_are_described_as_the_device_judges_them() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .*? \|$", TEXT.partition("| `reason` |")[2], re.MULTILINE)
    assert rows == list(REASONS.items())
    refused = schema("remote")["$defs"]["refused"]["properties"]["reason"]["enum"]
    assert refused == list(REASONS)
    assert f"more than {REQUESTS_PER_MINUTE} requests in a minute" in REASONS["rate_limited"]
    assert f"{SIZE_LIMIT} bytes" in REASONS["oversized"]
    text, zero = DOMAIN.decode()[:-1], DOMAIN[-1]
    assert zero == 0
    assert f"the {len(text)} bytes `{text}`, a zero byte" in TEXT
    assert TIMEOUT_S == 5 * 60
    assert "up to five minutes" in TEXT


def test_the_command_in_the_document_is_one_and_its_signature_is_right() -> None:
    remote = [json.loads(text) for name, text in EXAMPLES if name == "remote"]
    (command,) = (example for example in remote if "action" in example)
    (request,) = (example for example in remote if "signature" in example)
    data = canonical(command)
    assert decode(data).model_dump() == command
    assert base64.b64decode(request["command"]) == data
    seed = re.search(r"private key of RFC 8032, 7.1, test 1: `([0-9a-f]{64})`", TEXT)
    assert seed is not None
    signature = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed[1])).sign(DOMAIN + data)
    assert base64.b64decode(request["signature"]) == signature
    actions = re.findall(r"^\| `(\w+)` \|", TEXT.partition("| `action` |")[2].partition("**3.")[0], re.MULTILINE)
    assert actions == [model.model_fields["action"].default for model in get_args(Command)]
