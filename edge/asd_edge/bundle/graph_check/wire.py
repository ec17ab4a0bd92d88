"""A serialised graph before any parser sees it: only the fields a graph needs, and no more than a parser can bear.

A parser makes some hundred bytes of memory of a message that takes two in the file, so a file could fill a device with
fifty times its size. And parsers of two libraries may know different fields. This walk over the wire format knows one
table of fields, and what is not in it is refused: external data, graphs inside graphs, functions, sparse tensors.
Wire format: https://protobuf.dev/programming-guides/encoding; fields: onnx.proto, IR version 10.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asd_edge.strict import RefusalError

MOST_FIELDS = 200_000
"""Of a graph of 8,192 nodes."""

MOST_BYTES = 8 << 20
"""Of everything but the numbers of the initialisers, which a parser copies as they are."""

_VALUE, _TEXT, _RAW = "plain", "text", "raw"  # a number or several, UTF-8, numbers as they are: nothing inside
_ENTRY = {1: ("key", _TEXT), 2: ("value", _TEXT)}
_FIELDS: dict[str, dict[int, tuple[str, str]]] = {
    "model": {
        1: ("ir_version", _VALUE),
        2: ("producer_name", _TEXT),
        3: ("producer_version", _TEXT),
        4: ("domain", _TEXT),
        5: ("model_version", _VALUE),
        6: ("doc_string", _TEXT),
        7: ("graph", "graph"),
        8: ("opset_import", "opset"),
        14: ("metadata_props", "entry"),
    },
    "opset": {1: ("domain", _TEXT), 2: ("version", _VALUE)},
    "entry": _ENTRY,
    "graph": {
        1: ("node", "node"),
        2: ("name", _TEXT),
        5: ("initializer", "tensor"),
        10: ("doc_string", _TEXT),
        11: ("input", "value"),
        12: ("output", "value"),
        16: ("metadata_props", "entry"),
    },
    "node": {
        1: ("input", _TEXT),
        2: ("output", _TEXT),
        3: ("name", _TEXT),
        4: ("op_type", _TEXT),
        5: ("attribute", "attribute"),
        6: ("doc_string", _TEXT),
        7: ("domain", _TEXT),
        9: ("metadata_props", "entry"),
    },
    "attribute": {
        1: ("name", _TEXT),
        2: ("f", _VALUE),
        3: ("i", _VALUE),
        4: ("s", _VALUE),
        7: ("floats", _VALUE),
        8: ("ints", _VALUE),
        13: ("doc_string", _TEXT),
        20: ("type", _VALUE),
    },
    "tensor": {
        1: ("dims", _VALUE),
        2: ("data_type", _VALUE),
        4: ("float_data", _VALUE),
        5: ("int32_data", _VALUE),
        7: ("int64_data", _VALUE),
        8: ("name", _TEXT),
        9: ("raw_data", _RAW),
        12: ("doc_string", _TEXT),
    },
    "value": {1: ("name", _TEXT), 2: ("type", "type"), 3: ("doc_string", _TEXT), 4: ("metadata_props", "entry")},
    "type": {1: ("tensor_type", "tensor type")},
    "tensor type": {1: ("elem_type", _VALUE), 2: ("shape", "shape")},
    "shape": {1: ("dim", "dim")},
    "dim": {1: ("dim_value", _VALUE), 2: ("dim_param", _TEXT)},
}
_NAMED = {"node": (3, 2), "attribute": (1,), "tensor": (8,), "value": (1,)}  # where a message has its name
_REFUSED = {
    ("model", 20): "training_info",
    ("model", 25): "functions",
    ("graph", 13): "value_info",
    ("graph", 14): "quantization_annotation",
    ("graph", 15): "sparse_initializer",
    ("node", 8): "overload",
    ("attribute", 5): "t, a tensor",
    ("attribute", 6): "g, a graph",
    ("attribute", 9): "strings",
    ("attribute", 10): "tensors",
    ("attribute", 11): "graphs",
    ("attribute", 14): "tp, a type",
    ("attribute", 15): "type_protos",
    ("attribute", 21): "ref_attr_name",
    ("attribute", 22): "sparse_tensor",
    ("attribute", 23): "sparse_tensors",
    ("tensor", 3): "segment",
    ("tensor", 6): "string_data",
    ("tensor", 10): "double_data",
    ("tensor", 11): "uint64_data",
    ("tensor", 13): "external_data",
    ("tensor", 14): "data_location",
    ("type", 4): "sequence_type",
    ("type", 5): "map_type",
    ("type", 8): "sparse_tensor_type",
    ("type", 9): "optional_type",
}  # for the message only: whatever _FIELDS lacks is refused

_Place = tuple[Any, ...]  # (kind, start, end, the place around it), or () around the model


def scan(model: bytes) -> None:
    """Refuse a serialised ModelProto that is malformed, has other fields than a graph needs, or too many of them.

    Raises:
        RefusalError: with the field, and the name of what it stands in.
    """
    _Scan(model).message("model", 0, len(model), ())


@dataclass
class _Scan:
    data: bytes
    fields: int = 0
    size: int = 0

    def message(self, kind: str, start: int, end: int, within: _Place) -> None:
        known, place = _FIELDS[kind], (kind, start, end, within)
        for number, begin, stop in _fields(self.data, start, end):
            self.fields += 1
            if self.fields > MOST_FIELDS:
                raise RefusalError(f"more than {MOST_FIELDS} fields", "a graph that is parsed in little memory")
            if stop > end:
                raise RefusalError(f"bytes that are not a protobuf in {_called(self.data, place)}", "an ONNX model")
            if number not in known:
                what = _REFUSED.get((kind, number), f"number {number}")
                names = ", ".join(name for name, _ in known.values())
                raise RefusalError(f"the field {what} of {_called(self.data, place)}", f"no fields but {names}")
            inner = known[number][1]
            if inner in _FIELDS:
                self.message(inner, begin, stop, place)
            elif inner != _RAW:
                self.size += stop - begin
                if self.size > MOST_BYTES:
                    raise RefusalError(f"more than {MOST_BYTES} bytes beside raw_data", "numbers in raw_data")
                if inner == _TEXT and not _is_text(self.data[begin:stop]):
                    raise RefusalError(f"{known[number][0]} of {_called(self.data, place)} that is no text", "UTF-8")


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, first byte and end of each field of a message; an end beyond `end` where it is malformed."""
    position = start
    while position < end:
        key, position = _varint(data, position, end)
        begin = position
        match key & 7:
            case 0:
                _, position = _varint(data, position, end)
            case 1:
                position += 8
            case 2:
                length, begin = _varint(data, position, end)
                position = begin + length
            case 5:
                position += 4
            case _:  # groups, which were given up before ONNX began
                position = end + 1
        yield key >> 3, begin, position


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a number of at most ten bytes, and what follows it; that is beyond `end` where it is malformed."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return 0, end + 1


def _is_text(data: bytes) -> bool:
    """Return whether bytes are UTF-8: parsers differ in what they make of a text that is not."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _called(data: bytes, place: _Place) -> str:
    """Return what the innermost message with a name is called."""
    kind, start, end, within = place
    for wanted in _NAMED.get(kind, ()):
        for number, begin, stop in _fields(data, start, end):
            if number == wanted and begin < stop <= end:
                text = f"the {kind} {data[begin : min(stop, begin + 80)].decode(errors='replace')!r}"
                return f"{text} of {_called(data, within)}" if kind == "attribute" else text
    return _called(data, within) if within else "the model"
