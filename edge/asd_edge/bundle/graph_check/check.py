"""A graph is checked before any runtime sees it: what it may hold, what it is made of, and what running it costs.

Each check makes the next one safe: fields before a parser runs (`wire`), operators and numbers before shapes are
inferred, and shapes before an engine allocates them (`graph_sizes`). See
docs/decisions/17-graphs-are-checked-before-they-are-loaded.md.
"""

from __future__ import annotations

import hashlib
import re
from math import prod
from typing import TYPE_CHECKING

from asd_edge.bundle.graph_check import wire
from asd_edge.bundle.graph_check.limits import CAPS, GraphLimits
from asd_edge.bundle.graph_check.operators import ATTRIBUTES, OPERATORS
from asd_edge.bundle.graph_check.sizes import called, costs_of, shown
from asd_edge.bundle.graph_check.tensors import FLOAT, INT64, ITEM_BYTES, MOST_DIMS, GraphTensors
from asd_edge.strict import RefusalError

if TYPE_CHECKING:
    import onnx

OPSET = 18  # what the exporter pins: TensorRT 10.3 and onnxruntime 1.23 read it
_IR_VERSIONS = range(8, 11)  # 8 came with opset 18; onnxruntime 1.23 reads 11, TensorRT 10.3 reads 10

_NAME = re.compile("[!-~]{1,256}")
_LARGEST_NUMBER = 1 << 31  # in attributes and in constants that may become shapes: no product of two overflows
_ENDS = [(1 << 63) - 1, -(1 << 63)]  # "to the end", as Slice writes it

_passed: set[tuple[bytes, str]] = set()


def check_graph(graph: bytes, tensors: GraphTensors, limits: GraphLimits) -> None:
    """Refuse a graph that is not what a bundle may carry. Nothing is read but these bytes, and nothing large allocated.

    Args:
        graph: a serialised ONNX model.
        tensors: the inputs and outputs that the manifest names.
        limits: what the manifest says that its graphs need.

    Raises:
        RefusalError: with the name of the node or tensor, what was found and what was expected.
    """
    verdict = (hashlib.sha256(graph).digest(), repr((tensors, limits)))
    if verdict not in _passed:
        _needs(graph, tensors, limits)
        _passed.add(verdict)


def limits_of(graph: bytes, tensors: GraphTensors) -> GraphLimits:
    """Return what a graph needs, for the manifest of its bundle.

    Raises:
        RefusalError: a graph that no bundle may carry.
    """
    return _needs(graph, tensors, CAPS)


def _needs(graph: bytes, tensors: GraphTensors, limits: GraphLimits) -> GraphLimits:
    """Return what a graph needs that passes every check."""
    wire.scan(graph)
    model = _parsed(graph)
    _check_versions(model)
    if not 1 <= len(model.graph.node) <= limits.nodes:
        raise RefusalError(f"{len(model.graph.node)} nodes", f"1 to {limits.nodes}")
    largest = _check_initialisers(model.graph, limits)
    _check_nodes(model.graph)
    _check_wiring(model.graph)
    _check_tensors(model.graph, tensors)
    costs = costs_of(model, tensors, limits)
    return GraphLimits(nodes=len(model.graph.node), initialiser_bytes=largest, **costs)


def _parsed(graph: bytes) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(graph)
        return model
    except DecodeError as error:
        raise RefusalError(f"bytes that are not an ONNX model: {error}", "a serialised ONNX model") from None


def _check_versions(model: onnx.ModelProto) -> None:
    opsets = [(opset.domain, opset.version) for opset in model.opset_import]
    if opsets != [("", OPSET)]:
        raise RefusalError(f"the operator sets {opsets[:8]}", f"set {OPSET} of the standard domain")
    if model.ir_version not in _IR_VERSIONS:
        raise RefusalError(f"IR version {model.ir_version}", f"{_IR_VERSIONS[0]} to {_IR_VERSIONS[-1]}")


def _check_initialisers(graph: onnx.GraphProto, limits: GraphLimits) -> int:
    """Check type, shape and size of every constant; return the bytes of the largest."""
    largest = 0
    for tensor in graph.initializer:
        what = f"the initialiser {shown(tensor.name)}"
        if tensor.data_type not in ITEM_BYTES:
            raise RefusalError(f"{what} of the data type {tensor.data_type}", f"one of {list(ITEM_BYTES)}")
        if len(tensor.dims) > MOST_DIMS or any(not 1 <= size <= _LARGEST_NUMBER for size in tensor.dims):
            raise RefusalError(f"{what} of the shape {list(tensor.dims)[:20]}", f"at most {MOST_DIMS} lengths from 1")
        numbers = prod(tensor.dims)
        size = numbers * ITEM_BYTES[tensor.data_type]
        if size > limits.initialiser_bytes:
            raise RefusalError(f"{what} of {size} bytes", f"at most {limits.initialiser_bytes} bytes")
        typed = len(tensor.float_data) + len(tensor.int32_data) + len(tensor.int64_data)
        whole = typed == numbers and not tensor.raw_data if typed else len(tensor.raw_data) == size
        if not whole:
            raise RefusalError(f"{what} with other numbers than its shape has room for", f"{numbers} numbers")
        if tensor.data_type == INT64:
            _check_integers(what, tensor)
        largest = max(largest, size)
    return largest


def _check_integers(what: str, tensor: onnx.TensorProto) -> None:
    import numpy as np

    raw = tensor.HasField("raw_data")
    values = np.frombuffer(tensor.raw_data, "<i8") if raw else np.array(tensor.int64_data, np.int64)
    large = values[(values >= _LARGEST_NUMBER) | (values <= -_LARGEST_NUMBER)]
    for value in np.setdiff1d(large, _ENDS):
        raise RefusalError(f"{value} in {what}", f"numbers below {_LARGEST_NUMBER}")


def _check_nodes(graph: onnx.GraphProto) -> None:
    names: set[str] = set()
    for node in graph.node:
        what = called(node)
        if node.domain:
            raise RefusalError(f"{what} of the domain {shown(node.domain)}", "the standard domain")
        if node.op_type not in OPERATORS:
            raise RefusalError(f"{what} with the operator {shown(node.op_type)}", f"one of {', '.join(OPERATORS)}")
        if node.name and (node.name in names or not _NAME.fullmatch(node.name)):
            raise RefusalError(f"{what} twice, or not in printable ASCII", "a name for each node")
        names.add(node.name)
        for attribute in node.attribute:
            low, high = ATTRIBUTES.get(attribute.name, (-_LARGEST_NUMBER, _LARGEST_NUMBER))
            for number in (*attribute.ints, *([attribute.i] if attribute.HasField("i") else [])):
                if not low <= number <= high:
                    raise RefusalError(f"{attribute.name[:40]} = {number} in {what}", f"{low} to {high}")
            if attribute.name == "auto_pad" and attribute.s != b"NOTSET":
                raise RefusalError(f"auto_pad = {attribute.s[:20]!r} in {what}", "pads written out")


def _check_wiring(graph: onnx.GraphProto) -> None:
    """Every tensor has one maker, which stands before whoever takes it: no cycles, no names that hide others."""
    known: set[str] = set()
    for tensor in (*graph.input, *graph.initializer):
        _add(tensor.name, known)
    for node in graph.node:
        for name in node.input:
            if name and name not in known:
                raise RefusalError(f"{called(node)} that takes {shown(name)}", "a tensor that was made before")
        for name in filter(None, node.output):
            _add(name, known)
    for tensor in graph.output:
        if tensor.name not in known:
            raise RefusalError(f"the output {shown(tensor.name)} that nothing makes", "outputs of nodes")


def _add(name: str, known: set[str]) -> None:
    if not _NAME.fullmatch(name):
        raise RefusalError(f"a tensor named {shown(name)}", "printable ASCII, as it may stand in a message")
    if name in known:
        raise RefusalError(f"two tensors named {shown(name)}", "a name for each")
    known.add(name)


def _check_tensors(graph: onnx.GraphProto, tensors: GraphTensors) -> None:
    """Compare inputs and outputs with the manifest's: only dimensions that it leaves open may be symbols."""
    for role, values, declared in (("input", graph.input, tensors.inputs), ("output", graph.output, tensors.outputs)):
        names = [value.name for value in values]
        if sorted(names) != sorted(declared):
            found = ", ".join(shown(name) for name in sorted(names)[:20]) or "none"
            raise RefusalError(f"the {role}s {found}", f"{', '.join(sorted(declared))}, as the manifest says")
        for value in values:
            what, shape = f"the {role} {shown(value.name)}", declared[value.name]
            kind = value.type.tensor_type.elem_type
            if kind != FLOAT:
                raise RefusalError(f"{what} of the data type {kind}", f"float32 ({FLOAT}), whatever is inside")
            dims = value.type.tensor_type.shape.dim
            found_shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)
            if found_shape != shape:
                raise RefusalError(f"{what} of the shape {list(found_shape)[:20]}", f"{list(shape)} of the manifest")
