"""Where a graph in another precision departs from fp32: both run side by side, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from ..heard import Feed

_MOVES = frozenset(
    {"Cast", "Concat", "DequantizeLinear", "Expand", "Flatten", "Gather", "Identity", "Pad", "QuantizeLinear"}
    | {"Reshape", "Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
"""What computes nothing: its deviation is that of what it moves."""
_JUMP, _SHARE = 3.0, 0.1  # times what came in; of the largest deviation in the graph

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerDeviation:
    """How far a layer's activations are from fp32's.

    Attributes:
        operator: of the fp32 graph's node.
        tensor: that it makes.
        weights: name of its constant operand in fp32, which tells the module that it was; "" where it has none.
        deviation: root mean square of the differences over all feeds, as a share of the root mean square in fp32;
            infinite where numbers overflow.
        before: the largest deviation among the layers that it takes its numbers from; 0 where it takes inputs only.
    """

    operator: str
    tensor: str
    weights: str
    deviation: float
    before: float


def deviations(fp32: bytes, other: bytes, feeds: Sequence[Feed]) -> list[LayerDeviation]:
    """Compare the activations of a graph in fp32 and in another precision, in the order of the graph.

    A layer is compared if the tensor that it makes is in both graphs under one name and is a number in both: in fp16
    as the layer made it, in int8 before it is quantised, or as it is after it is dequantised.

    Args:
        fp32, other: serialised graphs with the same inputs; of `other` one may be int8 where fp32's is float32.
        feeds: inputs, in the types of fp32.
    """
    model, changed = onnx.load_from_string(fp32), onnx.load_from_string(other)
    made = {name for node in changed.graph.node for name in node.output}
    layers = {
        name: node for node in model.graph.node if node.op_type not in _MOVES for name in node.output if name in made
    }
    squares, errors = dict.fromkeys(layers, 0.0), dict.fromkeys(layers, 0.0)
    ours, theirs = _Opened(model, list(layers)), _Opened(changed, list(layers))
    for feed in feeds:
        expected, found = ours.run(feed), theirs.run(feed)
        for name in layers:
            squares[name] += float(np.square(expected[name]).sum())
            errors[name] += float(np.square(found[name] - expected[name]).sum())
    relative = {name: _relative(errors[name], squares[name]) for name in layers}
    before = _before(model.graph, relative)
    weights = _weights(model.graph)
    return [
        LayerDeviation(node.op_type, name, weights.get(name, ""), relative[name], before[name])
        for name, node in layers.items()
    ]


def jumps(found: Sequence[LayerDeviation]) -> list[LayerDeviation]:
    """Return the layers that deviate by much more than what they are given, in the order of the graph."""
    largest = max((layer.deviation for layer in found), default=0.0)
    return [layer for layer in found if layer.deviation > _JUMP * layer.before and layer.deviation >= _SHARE * largest]


def table(found: Sequence[LayerDeviation]) -> str:
    """Return the deviations as text, one line a layer; an arrow stands at each jump."""
    marked = {layer.tensor for layer in jumps(found)}
    rows = [("operator", "tensor", "weights", "deviation", "")]
    for layer in found:
        arrow = "<- jump" if layer.tensor in marked else ""
        rows.append((layer.operator, layer.tensor, layer.weights, f"{layer.deviation:.1e}", arrow))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _relative(error: float, square: float) -> float:
    if error == 0.0:
        return 0.0
    return float(np.sqrt(error / square)) if np.isfinite(error) and square > 0.0 else float("inf")


def _weights(graph: onnx.GraphProto) -> dict[str, str]:
    """Return the name of the constant second operand of each tensor's maker."""
    constants = {tensor.name for tensor in graph.initializer}
    layers = (node for node in graph.node if len(node.input) > 1 and node.input[1] in constants)
    return {name: node.input[1] for node in layers for name in node.output}


def _before(graph: onnx.GraphProto, deviation: Mapping[str, float]) -> dict[str, float]:
    """Return what each tensor's makers are given: the largest deviation, seen through what only moves numbers."""
    carried: dict[str, float] = {}
    before = {}
    for node in graph.node:
        given = max((carried.get(name, 0.0) for name in node.input), default=0.0)
        for name in node.output:
            before[name] = given
            carried[name] = deviation.get(name, given)
    return before


class _Opened:
    """A graph whose inner tensors are outputs too, run as it is written: fused, a layer has no tensor of its own."""

    def __init__(self, model: onnx.ModelProto, names: Sequence[str]) -> None:
        self._names = names
        outputs = {tensor.name for tensor in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._scales = _scales_of_inputs(model)

    def run(self, feed: Feed) -> dict[str, Array]:
        """Return the named tensors for one feed, in double precision."""
        given = {name: self._as_taken(name, array) for name, array in feed.items()}
        return {
            name: np.asarray(value, np.float64)
            for name, value in zip(self._names, self._session.run(list(self._names), given), strict=True)
        }

    def _as_taken(self, name: str, array: Array) -> Array:
        if name not in self._scales or array.dtype != np.float32:
            return array
        scale, dtype = self._scales[name]
        limits = np.iinfo(dtype)
        return np.asarray(np.clip(np.round(array / scale), limits.min, limits.max), dtype)


def _scales_of_inputs(model: onnx.ModelProto) -> dict[str, tuple[float, np.dtype[Any]]]:
    """Return scale and type of the inputs that are whole numbers: pasts, which the graph dequantises itself."""
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    whole = {
        value.name: np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
        for value in model.graph.input
    }
    return {
        node.input[0]: (float(constants[node.input[1]]), whole[node.input[0]])
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and whole.get(node.input[0]) in (np.dtype("int8"), np.dtype("uint8"))
    }
