"""The rules of Sparkplug 3.0 that bind an edge node, each under its specification id, as checks of recordings.

A check raises AssertionError; a selection that would be empty fails, so that no rule holds for want of messages.
Here: topics, QoS, sequence numbers and times. The rest is in sparkplug_rules_of_payloads.py and …_of_sessions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.edge.sparkplug_recordings import MACHINES, START, Event, connections, recordings

RULES: dict[str, Callable[[], None]] = {}

NODE_KINDS = ("NBIRTH", "NDATA")
DEVICE_KINDS = ("DBIRTH", "DDATA", "DDEATH")
DATA_KINDS = ("NDATA", "DDATA")
BIRTH_KINDS = ("NBIRTH", "DBIRTH")


def rule(*ids: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Say which rules a check is of."""

    def register(check: Callable[[], None]) -> Callable[[], None]:
        for rule_id in ids:
            assert rule_id not in RULES, f"{rule_id} has two checks"
            RULES[rule_id] = check
        return check

    return register


def published(*kinds: str) -> list[Event]:
    """Every message of some kinds in all recordings."""
    found = [e for events in recordings() for e in events if e.what == "publish" and e.kind in kinds]
    assert found, f"no {kinds} in any recording"
    return found


def wills() -> list[Event]:
    return [event for events in recordings() for event in events if event.what == "connect"]


def sessions() -> list[tuple[Event, ...]]:
    return [part for events in recordings() for part in connections(events)]


def metrics(*kinds: str) -> list[Any]:
    return [metric for event in published(*kinds) for metric in event.payload.metrics]


def millisecond_of(event: Event) -> bool:
    return bool(event.payload.timestamp == event.time)


# --- topics, QoS, retain: nothing that this node publishes can be retained, for a Publication has no such flag ---

for _kind in NODE_KINDS:
    _ids = [f"topics-{_kind.lower()}-topic"]
    _ids += ["message-flow-edge-node-birth-publish-nbirth-topic"] if _kind == "NBIRTH" else []

    @rule(*_ids)
    def _node_topic(kind: str = _kind) -> None:
        assert {event.topic for event in published(kind)} == {f"spBv1.0/plant/{kind}/box"}


for _kind in DEVICE_KINDS:
    _ids = [f"topics-{_kind.lower()}-topic"]
    _ids += ["message-flow-device-birth-publish-dbirth-topic"] if _kind == "DBIRTH" else []

    @rule(*_ids)
    def _device_topic(kind: str = _kind) -> None:
        topics = {event.topic for event in published(kind)}
        assert topics <= {f"spBv1.0/plant/{kind}/box/{machine}" for machine in (*MACHINES, "gone-1")}


@rule(
    "topic-structure",
    "topic-structure-namespace-a",
    "topic-structure-namespace-device-id-associated-message-types",
    "topic-structure-namespace-device-id-non-associated-message-types",
)
def _topic_structure() -> None:
    for event in published(*NODE_KINDS, *DEVICE_KINDS, "NDEATH"):
        namespace, group, kind, node, *device = event.topic.split("/")
        assert (namespace, group, node) == ("spBv1.0", "plant", "box")
        assert len(device) == (1 if kind.startswith("D") else 0)


@rule("message-flow-device-birth-publish-dbirth-match-edge-node-topic")
def _dbirth_matches_nbirth() -> None:
    for session in sessions():
        nodes = {tuple(e.topic.split("/")[i] for i in (1, 3)) for e in session if e.kind == "NBIRTH"}
        devices = {tuple(e.topic.split("/")[i] for i in (1, 3)) for e in session if e.kind == "DBIRTH"}
        assert devices <= nodes


_DELIVERY = {
    "NBIRTH": ["topics-nbirth-mqtt", "payloads-nbirth-qos", "payloads-nbirth-retain"]
    + [f"message-flow-edge-node-birth-publish-nbirth-{what}" for what in ("qos", "retained")],
    "DBIRTH": ["topics-dbirth-mqtt", "payloads-dbirth-qos", "payloads-dbirth-retain"]
    + [f"message-flow-device-birth-publish-dbirth-{what}" for what in ("qos", "retained")],
    "NDATA": ["topics-ndata-mqtt", "payloads-ndata-qos", "payloads-ndata-retain"],
    "DDATA": ["topics-ddata-mqtt", "payloads-ddata-qos", "payloads-ddata-retain"],
    "DDEATH": ["topics-ddeath-mqtt"],
}
for _kind, _ids in _DELIVERY.items():

    @rule(*_ids)
    def _qos_0(kind: str = _kind) -> None:
        assert {event.qos for event in published(kind)} == {0}


# --- sequence numbers and times ---

_SEQ = {
    "NDATA": ["topics-ndata-seq-num", "payloads-ndata-seq", "payloads-ndata-seq-inc"],
    "DDATA": ["topics-ddata-seq-num", "payloads-ddata-seq", "payloads-ddata-seq-inc"],
    "DBIRTH": ["topics-dbirth-seq", "payloads-dbirth-seq", "payloads-dbirth-seq-inc"],
    "DDEATH": ["topics-ddeath-seq-num", "payloads-ddeath-seq", "payloads-ddeath-seq-inc", "payloads-ddeath-seq-number"],
}


def _check_seq(kinds: tuple[str, ...]) -> None:
    checked = wraps = 0
    for session in sessions():
        before = None
        for event in session:
            if event.what != "publish" or event.kind == "NDEATH":
                continue
            seq = event.payload.seq
            assert event.payload.HasField("seq")
            if event.kind in kinds:
                checked += 1
                wraps += before == 255
                assert before is not None
                assert seq == (before + 1) % 256
            before = seq
    assert checked
    assert wraps or "DDATA" not in kinds


_SEQ["DBIRTH"].append("message-flow-device-birth-publish-dbirth-payload-seq")
for _kind, _ids in _SEQ.items():

    @rule(*_ids)
    def _seq(kind: str = _kind) -> None:
        _check_seq((kind,))


@rule("payloads-sequence-num-incrementing", "payloads-sequence-num-always-included")
def _seq_of_all() -> None:
    _check_seq((*DATA_KINDS, "DBIRTH", "DDEATH"))


@rule(
    "topics-nbirth-seq-num",
    "payloads-nbirth-seq",
    "payloads-sequence-num-req-nbirth",
    "message-flow-edge-node-birth-publish-nbirth-payload-seq",
)
def _nbirth_seq() -> None:
    assert all(event.payload.HasField("seq") and event.payload.seq == 0 for event in published("NBIRTH"))


for _kind in (*NODE_KINDS, *DEVICE_KINDS):
    _ids = [f"payloads-{_kind.lower()}-timestamp"]
    _ids += [] if _kind == "DDEATH" else [f"topics-{_kind.lower()}-timestamp"]

    @rule(*_ids)
    def _timestamp(kind: str = _kind) -> None:
        assert all(millisecond_of(event) for event in published(kind))


@rule("payloads-timestamp-in-UTC", "payloads-metric-timestamp-in-UTC", "payloads-name-birth-data-requirement")
def _times() -> None:
    for event in published(*BIRTH_KINDS, *DATA_KINDS):
        for metric in event.payload.metrics:
            assert START - 1 <= metric.timestamp <= event.time, metric.name
