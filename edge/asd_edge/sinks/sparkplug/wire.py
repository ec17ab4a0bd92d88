"""Protocol Buffers on the wire, as much of it as Sparkplug B needs (protobuf.dev/programming-guides/encoding)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from asd_edge.strict import RefusalError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4 are the groups that proto2 gave up

Field = tuple[int, int, int | bytes]
"""Number, wire type, and value: an unsigned integer, or the bytes of a string, a message or a fixed number."""


def varint_field(number: int, value: int) -> bytes:
    """Return a field that holds an unsigned integer below 2**64."""
    return _varint(number << 3 | VARINT) + _varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """Return a field that holds bytes, a string or a message."""
    return _varint(number << 3 | BYTES) + _varint(len(value)) + value


def float_field(number: int, value: float) -> bytes:
    """Return a field that holds a float32."""
    return _varint(number << 3 | FIXED32) + struct.pack("<f", value)


def double_field(number: int, value: float) -> bytes:
    """Return a field that holds a float64."""
    return _varint(number << 3 | FIXED64) + struct.pack("<d", value)


def fields(message: bytes) -> Iterator[Field]:
    """Take a message apart, not the messages in it.

    Raises:
        RefusalError: it is not a protobuf message.
    """
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise RefusalError("field number 0", "a protobuf message")
        if kind == VARINT:
            value, at = _read_varint(message, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            length, at = _read_varint(message, at)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise RefusalError(f"wire type {kind}", "a protobuf message without groups")
        if length > len(message) - at:
            raise RefusalError(f"a field of {length} bytes where {len(message) - at} are left", "a whole message")
        yield number, kind, message[at : at + length]
        at += length


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the integer at a place, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):  # ten bytes hold 64 bits
        if at >= len(message):
            raise RefusalError("an integer that is cut off", "a whole message")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise RefusalError("an integer of more than ten bytes", "a protobuf message")
