"""The Sparkplug B payload: values on our side, the bytes of its published schema on the other.

Field numbers: Sparkplug 3.0, 6.4 "Google Protocol Buffer Schema". What this node neither sends nor obeys (data sets,
templates, arrays, files, metadata) is skipped by the decoder, as any unknown field.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from asd_edge.sinks.sparkplug.wire import bytes_field, double_field, fields, float_field, varint_field
from asd_edge.strict import RefusalError

Value: TypeAlias = int | float | bool | str | None


class DataType(IntEnum):
    """The basic types."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13  # milliseconds since 1970, UTC
    TEXT = 14


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a metric; None is null."""

    datatype: DataType
    value: Value


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of one metric. `timestamp`: ms since 1970, UTC. A `value` of None is null.

    A decoded metric lacks what its sender left out; its `datatype` is None as well where that is no basic type.
    """

    name: str | None
    datatype: DataType | None
    value: Value
    timestamp: int | None = None
    alias: int | None = None
    historical: bool = False
    transient: bool = False
    properties: Mapping[str, Property] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payload:
    """A whole message. `timestamp`: when it was sent, ms since 1970, UTC."""

    timestamp: int | None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None
    uuid: str | None = None
    body: bytes | None = None


def encode(payload: Payload) -> bytes:
    """Return the bytes of a payload."""
    parts = [] if payload.timestamp is None else [varint_field(1, payload.timestamp)]
    parts += [bytes_field(2, _encode_metric(metric)) for metric in payload.metrics]
    if payload.seq is not None:
        parts.append(varint_field(3, payload.seq))
    if payload.uuid is not None:
        parts.append(bytes_field(4, payload.uuid.encode()))
    if payload.body is not None:
        parts.append(bytes_field(5, payload.body))
    return b"".join(parts)


def decode(message: bytes) -> Payload:
    """Read a payload, as hostile as it may be: its cost is linear in its length, its depth is fixed.

    Raises:
        RefusalError: it is none.
    """
    found: dict[int, int | bytes] = {}
    metrics: list[Metric] = []
    for number, _, value in fields(message):
        if number == 2:
            metrics.append(_decode_metric(_bytes(value)))
        else:
            found[number] = value
    uuid, body = found.get(4), found.get(5)
    return Payload(
        _integer(found.get(1)),
        tuple(metrics),
        _integer(found.get(3)),
        None if uuid is None else _text(uuid),
        None if body is None else _bytes(body),
    )


_DATATYPES: dict[int | None, DataType] = {datatype.value: datatype for datatype in DataType}
_BITS = {1: 8, 2: 16, 3: 32, 4: 64, 5: 8, 6: 16, 7: 32, 8: 64, 13: 64}
_SIGNED = frozenset({DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64})
# Which field of the `oneof value` holds a type: its place after the first, which is 10 in a metric, 3 in a property.
_PLACES = {1: 0, 2: 0, 3: 0, 4: 1, 5: 0, 6: 0, 7: 1, 8: 1, 9: 2, 10: 3, 11: 4, 12: 5, 13: 1, 14: 5}
_METRIC_VALUE, _PROPERTY_VALUE = 10, 3


def _encode_metric(metric: Metric) -> bytes:
    parts = [] if metric.name is None else [bytes_field(1, metric.name.encode())]
    for number, integer in (2, metric.alias), (3, metric.timestamp), (4, metric.datatype):
        if integer is not None:
            parts.append(varint_field(number, integer))
    for number, flag in (5, metric.historical), (6, metric.transient), (7, metric.value is None):
        if flag:
            parts.append(varint_field(number, 1))
    if metric.properties:
        keys = [bytes_field(1, key.encode()) for key in metric.properties]
        values = [bytes_field(2, _encode_property(value)) for value in metric.properties.values()]
        parts.append(bytes_field(9, b"".join(keys + values)))
    if metric.datatype is not None and metric.value is not None:
        parts.append(_encode_value(_METRIC_VALUE, metric.datatype, metric.value))
    return b"".join(parts)


def _encode_property(value: Property) -> bytes:
    kind = varint_field(1, value.datatype)
    if value.value is None:
        return kind + varint_field(2, 1)
    return kind + _encode_value(_PROPERTY_VALUE, value.datatype, value.value)


def _encode_value(first: int, datatype: DataType, value: int | float | str) -> bytes:
    number = first + _PLACES[datatype]
    if isinstance(value, str):
        return bytes_field(number, value.encode())
    if datatype is DataType.FLOAT:
        return float_field(number, value)
    if datatype is DataType.DOUBLE:
        return double_field(number, value)
    # Negative ones as two's complement in the whole field, which is what Tahu writes and reads for the short types too.
    return varint_field(number, int(value) & (0xFFFF_FFFF if _PLACES[datatype] == 0 else 0xFFFF_FFFF_FFFF_FFFF))


def _decode_metric(message: bytes) -> Metric:
    found = {number: value for number, _, value in fields(message)}
    datatype = _datatype(found.get(4))
    name, properties = found.get(1), found.get(9)
    return Metric(
        None if name is None else _text(name),
        datatype,
        None if found.get(7) else _decode_value(found, _METRIC_VALUE, datatype),
        _integer(found.get(3)),
        _integer(found.get(2)),
        bool(found.get(5)),
        bool(found.get(6)),
        {} if properties is None else _decode_properties(_bytes(properties)),
    )


def _decode_properties(message: bytes) -> dict[str, Property]:
    keys: list[str] = []
    values: list[Property | None] = []
    for number, _, value in fields(message):
        if number == 1:
            keys.append(_text(value))
        elif number == 2:
            found = {inner: held for inner, _, held in fields(_bytes(value))}
            datatype = _datatype(found.get(1))
            null = datatype is None or found.get(2)
            held = None if null else _decode_value(found, _PROPERTY_VALUE, datatype)
            values.append(None if datatype is None else Property(datatype, held))
    if len(keys) != len(values):
        raise RefusalError(f"{len(keys)} property keys and {len(values)} values", "as many of each")
    return {key: value for key, value in zip(keys, values, strict=True) if value is not None}


def _decode_value(found: Mapping[int, int | bytes], first: int, datatype: DataType | None) -> Value:
    if datatype is None:
        # A command may leave its datatype out, for the birth has told it. We obey a boolean alone, so read that.
        held = found.get(first + _PLACES[DataType.BOOLEAN])
        return bool(held) if isinstance(held, int) else None
    value = found.get(first + _PLACES[datatype])
    if value is None:
        return None
    if datatype in (DataType.STRING, DataType.TEXT):
        return _text(value)
    if datatype in (DataType.FLOAT, DataType.DOUBLE):
        size, form = (4, "<f") if datatype is DataType.FLOAT else (8, "<d")
        if not isinstance(value, bytes) or len(value) != size:
            raise RefusalError("a value of another type", f"a {datatype.name.lower()}")
        number: float = struct.unpack(form, value)[0]
        return number
    integer = _integer(value)
    if datatype is DataType.BOOLEAN or integer is None:
        return bool(integer)
    bits = _BITS[datatype]
    integer &= (1 << bits) - 1
    return integer - (1 << bits) if datatype in _SIGNED and integer >> (bits - 1) else integer


def _datatype(value: int | bytes | None) -> DataType | None:
    return _DATATYPES.get(_integer(value))


def _integer(value: int | bytes | None) -> int | None:
    if isinstance(value, bytes):
        raise RefusalError("bytes where a number belongs", "a Sparkplug B payload")
    return value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise RefusalError("a number where bytes belong", "a Sparkplug B payload")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise RefusalError("a name that is not UTF-8", "a Sparkplug B payload") from None
