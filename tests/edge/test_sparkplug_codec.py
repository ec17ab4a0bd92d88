"""The codec against google.protobuf with the published schema, and against bytes that nobody sends in good faith."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_edge.sinks.sparkplug.codec import DataType, Metric, Payload, Property, Value, decode, encode
from asd_edge.strict import RefusalError
from tests.edge.sparkplug_schema import payload_class, read

BITS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
UNSIGNED = {DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64, DataType.DATETIME: 64}
# Sparkplug 3.0, 6.4.16 "Datatype Details": which field holds a type.
FIELDS = {
    "int_value": (DataType.INT8, DataType.INT16, DataType.INT32, DataType.UINT8, DataType.UINT16),
    "long_value": (DataType.INT64, DataType.UINT32, DataType.UINT64, DataType.DATETIME),
    "float_value": (DataType.FLOAT,),
    "double_value": (DataType.DOUBLE,),
    "boolean_value": (DataType.BOOLEAN,),
    "string_value": (DataType.STRING, DataType.TEXT),
}
FIELD_OF = {datatype: field for field, datatypes in FIELDS.items() for datatype in datatypes}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
U64 = st.integers(0, (1 << 64) - 1)


def values(datatype: DataType) -> st.SearchStrategy[Any]:
    if datatype in BITS:
        return st.integers(-(1 << (BITS[datatype] - 1)), (1 << (BITS[datatype] - 1)) - 1)
    if datatype in UNSIGNED:
        return st.integers(0, (1 << UNSIGNED[datatype]) - 1)
    if datatype in (DataType.FLOAT, DataType.DOUBLE):
        return st.floats(width=32 if datatype is DataType.FLOAT else 64, allow_nan=False)
    return st.booleans() if datatype is DataType.BOOLEAN else TEXT


@st.composite
def typed(draw: st.DrawFn) -> tuple[DataType, Value]:
    datatype = draw(st.sampled_from(DataType))
    return datatype, draw(st.none() | values(datatype))


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    datatype, value = draw(typed())
    properties = draw(st.dictionaries(TEXT, st.builds(lambda pair: Property(*pair), typed()), max_size=3))
    flags = draw(st.tuples(st.booleans(), st.booleans()))
    return Metric(draw(TEXT), datatype, value, draw(U64), draw(st.none() | U64), *flags, properties)


PAYLOADS = st.builds(
    Payload, st.none() | U64, st.lists(metrics(), max_size=4).map(tuple), st.none() | U64, st.none() | TEXT, st.binary()
)


def bits(value: Value, datatype: DataType) -> Value:
    """What the wire holds of a value: negative integers as two's complement in 32 or 64 bits."""
    if datatype in BITS and isinstance(value, int):
        return value % (1 << (64 if datatype is DataType.INT64 else 32))
    return value


def check(found: Any, datatype: DataType, value: Value) -> None:
    if value is None:
        assert found.is_null
        assert found.WhichOneof("value") is None
    else:
        assert not found.is_null
        assert found.WhichOneof("value") == FIELD_OF[datatype]
        assert getattr(found, FIELD_OF[datatype]) == bits(value, datatype)


@settings(max_examples=60, deadline=None)
@given(PAYLOADS)
def test_the_published_schema_reads_what_we_write(payload: Payload) -> None:
    found = read(encode(payload))
    for key in ("timestamp", "seq", "uuid", "body"):
        expected = getattr(payload, key)
        assert (getattr(found, key) if found.HasField(key) else None) == expected
    assert len(found.metrics) == len(payload.metrics)
    for metric, ours in zip(found.metrics, payload.metrics, strict=True):
        assert (metric.name, metric.timestamp, metric.datatype) == (ours.name, ours.timestamp, ours.datatype)
        assert (metric.alias if metric.HasField("alias") else None) == ours.alias
        assert (metric.is_historical, metric.is_transient) == (ours.historical, ours.transient)
        assert ours.datatype is not None
        check(metric, ours.datatype, ours.value)
        assert list(metric.properties.keys) == list(ours.properties)
        for found_property, our_property in zip(metric.properties.values, ours.properties.values(), strict=True):
            assert found_property.type == our_property.datatype
            check(found_property, our_property.datatype, our_property.value)


@settings(max_examples=60, deadline=None)
@given(PAYLOADS)
def test_we_read_what_the_published_schema_writes(payload: Payload) -> None:
    assert decode(payload_class().FromString(encode(payload)).SerializeToString()) == payload


def test_short_types_may_come_in_their_own_width() -> None:
    """Tahu's C and Python write int8 -5 as 251, its Java as 2**32 - 5."""
    for sent in 251, (1 << 32) - 5:
        message = payload_class()(metrics=[{"name": "x", "datatype": 1, "int_value": sent}])
        assert decode(message.SerializeToString()).metrics[0].value == -5


def test_what_we_do_not_know_is_skipped() -> None:
    metric = {"name": "x", "datatype": 17, "bytes_value": b"file", "metadata": {"md5": "0", "size": 4}}
    message = payload_class()(timestamp=7, metrics=[metric], seq=3).SerializeToString() + b"\xfa\x01\x03abc"
    assert decode(message) == Payload(7, (Metric("x", None, None),), 3)


def test_a_command_without_a_datatype_still_has_its_boolean() -> None:
    message = payload_class()(metrics=[{"name": "Node Control/Rebirth", "boolean_value": True}])
    assert decode(message.SerializeToString()).metrics[0].value is True


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("a varint that is cut off", b"\x08\x80"),
        ("a varint of eleven bytes", b"\x08" + b"\xff" * 10 + b"\x01"),
        ("a length beyond the end", b"\x12\x7fabc"),
        ("a length near 2**64", b"\x12" + b"\xff" * 9 + b"\x01"),
        ("a fixed number that is cut off", b"\x12\x05\x69\x00\x00\x00\x00"),
        ("a group", b"\x0b\x0c"),
        ("field number 0", b"\x00\x01"),
        ("a metric that is a number", b"\x10\x05"),
        ("a timestamp that is text", b"\x0a\x01x"),
        ("a name that is not UTF-8", b"\x12\x03\x0a\x01\xff"),
        ("a property key without a value", b"\x12\x05\x4a\x03\x0a\x01k"),
        ("a number in the place of a text", b"\x12\x04\x20\x0c\x78\x01"),
    ],
)
def test_hostile_bytes_are_refused(what: str, message: bytes) -> None:
    with pytest.raises(RefusalError) as refusal:
        decode(message)
    assert refusal.value.found, what


def test_mutated_payloads_are_read_or_refused_and_nothing_else() -> None:
    """Ten thousand mutations of a real birth; whatever can be read can be written again."""
    quality = {"Quality": Property(DataType.INT32, 192), "engUnit": Property(DataType.STRING, "dBFS")}
    metric = Metric("Level", DataType.DOUBLE, -27.5, 1_700_000_000_000, properties=quality)
    command = Metric("Node Control/Rebirth", DataType.BOOLEAN, True, 1_700_000_000_000)
    good = encode(Payload(1_700_000_000_000, (metric, command), 17, "uuid", b"body"))
    rng = random.Random(7)
    refused = 0
    for _ in range(10_000):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(bad))
            match rng.randrange(3):
                case 0:
                    bad[at] = rng.randrange(256)
                case 1:
                    del bad[at : at + rng.randint(1, 9)]
                case _:
                    bad[at:at] = rng.randbytes(rng.randint(1, 9))
        try:
            encode(decode(bytes(bad)))
        except RefusalError:
            refused += 1
    assert 1_000 < refused < 9_999  # the fuzz meets both
