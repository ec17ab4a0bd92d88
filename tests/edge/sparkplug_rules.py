"""The rules of Sparkplug 3.0 that bind an edge node, each under its specification id, as checks of recordings.

A check raises AssertionError; a selection that would be empty fails, so that no rule holds for want of messages.
The rules of commands, primary host and several servers are in sparkplug_rules_of_others.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.edge.sparkplug_recordings import MACHINES, START, Event, connections, recording, recordings

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


# --- what is in a birth ---


@rule("payloads-name-requirement", "payloads-metric-datatype-value-type", "payloads-metric-datatype-value")
def _names_and_types() -> None:
    assert all(metric.name and 1 <= metric.datatype <= 14 for metric in metrics(*BIRTH_KINDS, *DATA_KINDS, "NDEATH"))


@rule("payloads-metric-datatype-req", "topics-nbirth-metrics", "topics-dbirth-metrics")
def _complete_births() -> None:
    for metric in metrics(*BIRTH_KINDS):
        assert metric.HasField("name")
        assert metric.HasField("datatype")
        assert metric.is_null or metric.WhichOneof("value")


@rule("operational-behavior-data-publish-nbirth-values", "operational-behavior-data-publish-dbirth-values")
def _nulls() -> None:
    found = metrics(*BIRTH_KINDS)
    assert all(metric.is_null != (metric.WhichOneof("value") is not None) for metric in found)
    assert {metric.is_null for metric in found} == {True, False}
    (event, *_) = [e for e in recording("first_connect") if e.kind == "DBIRTH"]
    assert event.metric("Score").double_value == 0.1  # heard before anybody was there


def _check_every_metric(birth: str, data: str) -> None:
    """What a session's data reports, its births have told."""
    told_of: dict[str, set[str | None]] = {}
    for session in sessions():
        for event in session:
            names = {metric.name for metric in event.payload.metrics} if event.what == "publish" else set()
            if event.kind == birth:
                told_of[event.topic.replace(birth, data)] = names
            elif event.kind == data:
                assert names <= told_of[event.topic]
    assert len(told_of) == (1 if data == "NDATA" else 3)


@rule("topics-nbirth-metric-reqs", "operational-behavior-data-publish-nbirth")
def _nbirth_has_all() -> None:
    _check_every_metric("NBIRTH", "NDATA")


@rule("topics-dbirth-metric-reqs", "operational-behavior-data-publish-dbirth")
def _dbirth_has_all() -> None:
    _check_every_metric("DBIRTH", "DDATA")


@rule("operational-behavior-data-publish-nbirth-order", "operational-behavior-data-publish-dbirth-order")
def _chronological() -> None:
    for event in published(*BIRTH_KINDS, *DATA_KINDS):
        times = [metric.timestamp for metric in event.payload.metrics if not metric.is_historical]
        assert times == sorted(times)


@rule("case-sensitivity-metric-names")
def _no_names_that_differ_in_case() -> None:
    for event in published(*BIRTH_KINDS):
        names = [metric.name.lower() for metric in event.payload.metrics]
        assert len(names) == len(set(names))


@rule(
    "operational-behavior-data-publish-nbirth-change",
    "operational-behavior-data-publish-dbirth-change",
    "topics-ndata-payload",
    "topics-ddata-payload",
    "principles-rbe-recommended",
)
def _by_exception() -> None:
    """Data says what is new, and says everything that is."""
    for session in sessions():
        known: dict[tuple[str | None, str], bytes] = {}
        for event in session:
            if event.what != "publish" or event.kind not in (*BIRTH_KINDS, *DATA_KINDS):
                continue
            assert event.payload.metrics
            for metric in event.payload.metrics:
                if metric.is_historical:
                    continue
                quality = next(v.int_value for k, v in _properties(metric) if k == "Quality")
                value = None if metric.is_null else getattr(metric, metric.WhichOneof("value"))
                key = event.device, metric.name
                assert event.kind in BIRTH_KINDS or known[key] != (value, quality)
                known[key] = value, quality
    (*_, last) = [e for e in recording("first_connect") if e.kind == "DDATA" and e.device == "fan-7"]
    assert [(metric.name, metric.double_value) for metric in last.payload.metrics] == [("Score", 0.14)]


# --- properties ---


def _properties(metric: Any) -> list[tuple[str, Any]]:
    return list(zip(metric.properties.keys, metric.properties.values, strict=True))


@rule("payloads-propertyset-keys-array-size", "payloads-propertyset-values-array-size")
def _property_arrays() -> None:
    for metric in metrics(*BIRTH_KINDS, *DATA_KINDS):
        assert len(metric.properties.keys) == len(metric.properties.values) > 0


@rule(
    "payloads-metric-propertyvalue-type-type",
    "payloads-metric-propertyvalue-type-value",
    "payloads-metric-propertyvalue-type-req",
)
def _property_types() -> None:
    for metric in metrics(*BIRTH_KINDS, *DATA_KINDS):
        assert all(value.HasField("type") and 1 <= value.type <= 14 for _, value in _properties(metric))


@rule("payloads-propertyset-quality-value-type", "payloads-propertyset-quality-value-value")
def _quality() -> None:
    found = [
        value for metric in metrics(*BIRTH_KINDS, *DATA_KINDS) for key, value in _properties(metric) if key == "Quality"
    ]
    assert {value.type for value in found} == {3}
    assert {value.WhichOneof("value") for value in found} == {"int_value"}
    assert {value.int_value for value in found} == {0, 192, 500}
