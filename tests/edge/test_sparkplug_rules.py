"""Each rule of Sparkplug 3.0 that binds an edge node, under its specification id (`tck-id-` stands before each)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tests.edge.sparkplug_rules_of_payloads as of_payloads
import tests.edge.sparkplug_rules_of_sessions as of_sessions
from tests.edge.sparkplug_recordings import MACHINES, recording
from tests.edge.sparkplug_rules import RULES

pytestmark = pytest.mark.once

CHECKS = (of_payloads, of_sessions)  # they register their rules when they are imported
IDS = (Path(__file__).parent / "sparkplug_ids.txt").read_text().split()

# Why a rule has no check over recordings.
ELSEWHERE = {
    r"principles-persistence-clean-session-(311|50)": "test_sparkplug_node.py, in the broker's log",
    r"payloads-ndeath-will-message-publisher-disconnect-mqtt(311|50)": "test_sparkplug_node.py, by what a broker sends",
    r"topic-structure-namespace-valid-(group|edge-node|device)-id": "names of the device file",
    r"topic-structure-namespace-unique-device-id": "machine ids of a device file are distinct",
    r"intro-(group|edge-node|device)-id-(string|chars)": "names of the device file",
    r"case-sensitivity-sparkplug-ids": "a matter of the plant's names: docs/sparkplug.md",
    r"(intro-edge-node-id-uniqueness|topic-structure-namespace-unique-edge-node-descriptor)": "a matter of the plant",
    r"payloads-nbirth-edge-node-descriptor": "a matter of the plant",
    r"topic-structure-namespace-duplicate-device-id-across-edge-node": "a permission",
    r"payloads-metric-datatype-not-req": "a SHOULD NOT that we break: docs/sparkplug.md says why",
    r"payloads-(name-cmd-requirement)": "a permission of whoever sends commands",
    r"(payloads-template|payloads-dataset|topics-nbirth-templates).*": "neither templates nor data sets are used",
    r"(payloads-alias|operational-behavior-data-commands-rebirth-name-aliases).*": "no aliases are used",
    r".*dcmd.*": "its devices take no commands",
    r"(topics|payloads)-ncmd-.*|operational-behavior-data-commands-ncmd-.*": "binds the host that sends the command",
    r"(host-topic|components-ph|conformance|intro-sparkplug-host|payloads-state)-.*": "binds a host or a broker",
    r"message-flow-(phid|hid)-.*": "binds a host",
    r"operational-behavior-host-(application|reordering)-.*": "binds a host",
    r"operational-behavior-edge-node-termination-host-action-.*": "binds a host",
    r"operational-behavior-primary-application-state-with-multiple-servers-state": "binds a host",
}


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_rule(rule_id: str) -> None:
    RULES[rule_id]()


def test_every_rule_of_the_specification_is_checked_or_has_its_reason() -> None:
    reasons = {rule_id: [p for p in ELSEWHERE if re.fullmatch(p, rule_id)] for rule_id in IDS}
    assert len(IDS) == len(set(IDS)) == 299
    assert set(RULES) <= set(IDS)
    open_ids = [rule_id for rule_id, found in reasons.items() if (rule_id in RULES) + len(found) != 1]
    assert open_ids == []


def test_what_nobody_may_have_seen_is_sent_again_as_history() -> None:
    """After an unclean disconnect and a restart; the present values stay what they are."""
    _, second = of_sessions.connections(recording("unclean"))
    replayed = [metric for event in second if event.kind == "DDATA" for metric in of_sessions.historical(event)]
    scores = [metric.double_value for metric in replayed if metric.name == "Score"]
    assert scores == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.14, 0.2, 0.21, 0.22, 0.23, 0.24, 0.3])
    live = [event for event in second if event.kind == "DDATA" and not of_sessions.historical(event)]
    assert [event.metric("Score").double_value for event in live] == [0.5, 0.6]


def test_the_history_of_a_device_that_is_gone_is_told_between_a_birth_and_a_death() -> None:
    found = [event.kind for event in recording("unclean") if event.device == "gone-1"]
    assert "gone-1" not in MACHINES
    assert found == ["DBIRTH", "DDATA", "DDEATH"]
