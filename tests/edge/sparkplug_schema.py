"""The published schema of a Sparkplug B payload as a google.protobuf class: the independent reader and writer.

Written from the field numbers of Sparkplug 3.0, 6.4 "Google Protocol Buffer Schema". onnx brings google.protobuf along.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_SCALAR = {"u32": 13, "u64": 4, "bool": 8, "str": 9, "bytes": 12, "float": 2, "double": 1}
_VALUES = "u32 int_value, u64 long_value, float float_value, double double_value, bool boolean_value, str string_value"
# Message: fields from number 1 on; `name*` is repeated, `|` begins the fields of `oneof value`.
_MESSAGES = {
    "PropertyValue": f"u32 type, bool is_null | {_VALUES}",
    "PropertySet": "str keys*, PropertyValue values*",
    "MetaData": "bool is_multi_part, str content_type, u64 size, u64 seq, str file_name, str file_type, str md5, "
    "str description",
    "Metric": "str name, u64 alias, u64 timestamp, u32 datatype, bool is_historical, bool is_transient, bool is_null, "
    f"MetaData metadata, PropertySet properties | {_VALUES}, bytes bytes_value",
    "Payload": "u64 timestamp, Metric metrics*, u64 seq, str uuid, bytes body",
}


@cache
def payload_class() -> Any:
    """Return the message class of a payload."""
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="spb", syntax="proto2")
    for name, layout in _MESSAGES.items():
        message = file.message_type.add(name=name)
        message.oneof_decl.add(name="value") if "|" in layout else None
        plain, _, chosen = layout.partition("|")
        parts = [(part, False) for part in plain.split(",")] + [(part, True) for part in chosen.split(",") if part]
        for number, (part, one_of) in enumerate(parts, start=1):
            kind, field = part.split()
            added = message.field.add(name=field.rstrip("*"), number=number, label=3 if field.endswith("*") else 1)
            if kind in _SCALAR:
                added.type = _SCALAR[kind]
            else:
                added.type, added.type_name = 11, f".spb.{kind}"
            if one_of:
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("spb.Payload"))


def read(data: bytes) -> Any:
    """Return the payload of some bytes; unknown fields are not allowed in what we write."""
    payload = payload_class().FromString(data)
    assert payload.ByteSize() == len(data), "unknown fields, or numbers longer than they need be"
    return payload


class SparkplugMessage:
    """What a topic and its bytes say; for classes that have both."""

    topic: str
    data: bytes

    @property
    def kind(self) -> str:
        """NBIRTH, NDATA …; nothing where it is no message of a group."""
        return self.topic.split("/")[2] if self.topic.count("/") >= 3 else ""

    @property
    def device(self) -> str | None:
        parts = self.topic.split("/")
        return parts[4] if len(parts) > 4 else None

    @property
    def payload(self) -> Any:
        return read(self.data)
