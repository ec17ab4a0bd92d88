"""The rules that bind what is in an edge node's messages: metrics, their properties, and which of them are there."""

from __future__ import annotations

from typing import Any

from tests.edge.sparkplug_recordings import recording
from tests.edge.sparkplug_rules import BIRTH_KINDS, DATA_KINDS, metrics, published, rule, sessions

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
