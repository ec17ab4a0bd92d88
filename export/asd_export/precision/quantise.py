"""An fp32 graph becomes an int8 graph: explicit pairs of QuantizeLinear and DequantizeLinear, symmetric throughout.

Weights have one scale an output channel, activations one a tensor; biases stay float32, and onnxruntime rounds them to
the products' scale by itself while TensorRT refuses rounded ones. Where pairs stand, and of which type, is decided in
regions.py; docs/decisions/16-int8.md has the measurements behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from asd_edge.engines.onnx_unsigned import SIGNED_ZERO

from ..heard import Feed
from .calibration import Range, find_ranges
from .plan import QuantisationPlan
from .regions import LEVELS, Regions, bound_at_work, find_regions, moved, result_of
from .view import GraphView

_LEAST_SCALE = 1e-12  # of a tensor or a channel that is zero
_BIAS_LEVELS = 2.0**30  # onnxruntime rounds a bias to int32 at the scale of the products


def quantised(graph: bytes, feeds: Sequence[Feed], plan: QuantisationPlan) -> bytes:
    """Return a graph in int8, with the inputs and outputs of the fp32 graph.

    Args:
        graph: an fp32 graph as exported.
        feeds: inputs that make tensors what they are on training normals.
        plan: which layers stay in higher precision.
    """
    return written(graph, find_ranges(graph, feeds), plan)


def written(graph: bytes, ranges: Mapping[str, Range], plan: QuantisationPlan) -> bytes:
    """Return a graph in int8 with the ranges of its float tensors given."""
    model = onnx.load_from_string(graph)
    view = GraphView(model)
    layers = {node.name for node in view.layers} - {*plan.weights, *plan.float32}
    writer = _Writer(view, find_regions(view, layers, ranges), set(plan.weights))
    for node in view.nodes:
        writer.write(node)
    del model.graph.node[:]
    model.graph.node.extend(writer.nodes)
    used = {name for node in writer.nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *writer.initializers.values()])
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


class _Writer:
    """Writes the nodes of an int8 graph in the order of the fp32 graph's."""

    def __init__(self, view: GraphView, regions: Regions, weights: set[str]) -> None:
        self._view, self._regions, self._weights = view, regions, weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._stored: dict[str, str] = {}
        self._floats: dict[str, str] = {}
        self._made = 0

    def write(self, node: onnx.NodeProto) -> None:
        """Write what becomes of a node."""
        regions = self._regions
        if node.name in regions.rectifiers:
            return  # written with the node before it
        if node.name in regions.layers or node.name in self._weights:
            int8 = node.name in regions.layers
            if node.op_type == "Conv":
                self._convolution(node, int8)
            else:
                self._product(node, int8)
        elif node.name in regions.between:
            self._between(node)
        else:
            self._copy(node, [self._float(name) for name in node.input], list(node.output))

    def _convolution(self, node: onnx.NodeProto, int8: bool) -> None:
        x, weights, *bias = node.input
        taken = self._dequantised(x) if int8 else self._float(x)
        result = result_of(self._view, node)
        middles = [self._regions.middle.get(name, 0.0) if int8 else 0.0 for name in (x, result)]
        least = self._least_for(bias, x, middles) if int8 else None
        kernel = self._constant_in_int8(weights, axis=0, least=least)
        if any(middles):  # w·(x − m) + (b + m·Σw − m') = (w·x + b) − m'
            levels, scale = self._levels(weights, axis=0, least=least)
            sums = (levels * scale).reshape(len(levels), -1).sum(axis=1)
            value = self._value(bias[0]) if bias else np.zeros(len(levels), np.float32)
            bias = [self._constant((value + middles[0] * sums - middles[1]).astype(np.float32))]
        self._copy(node, [taken, kernel, *bias], list(node.output))
        if int8:
            self._store(node, result)

    def _least_for(self, bias: Sequence[str], x: str, middles: Sequence[float]) -> NDArray[np.float32] | None:
        """Return the least scale of each channel's weights: a channel of nothing but its bias would lose it.

        A batch norm that has switched a channel off leaves weights of 1e-9 and a bias of 1: at their scale the bias has
        more levels than an int32.
        """
        if not bias:
            return None
        size = np.abs(self._value(bias[0])) + sum(map(abs, middles))
        return np.asarray(size / (_BIAS_LEVELS * self._scale(x)), np.float32)

    def _product(self, node: onnx.NodeProto, int8: bool) -> None:
        """Write a matrix product and behind it the bias: onnxruntime computes MatMul in int8 and Gemm in float32.

        The negative bias is subtracted: a MatMul and an Add would become a Gemm.
        """
        x, weights, *bias = node.input
        across = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        taken = self._dequantised(x) if int8 else self._float(x)
        matrix = self._constant_in_int8(weights, axis=0 if across else -1, across=across)
        product = self._name("p") if bias else node.output[0]
        self._add("MatMul", [taken, matrix], product)
        if bias:
            self._add("Sub", [product, self._constant(-self._value(bias[0]))], node.output[0])

    def _between(self, node: onnx.NodeProto) -> None:
        taken = list(node.input) if node.op_type == "Add" else moved(node)
        rest = list(node.input)[len(taken) :]
        self._copy(node, [*map(self._dequantised, taken), *rest], list(node.output))
        self._store(node, result_of(self._view, node))

    def _store(self, node: onnx.NodeProto, result: str) -> None:
        """Quantise what a node has just made, with its rectifier, and make the float of it that outputs want.

        A float tensor has the name it had in fp32 only where it means the same.
        """
        made = self.nodes[-1]
        if result in self._regions.middle:
            made.output[0] = self._name("r")
            self._stored[result] = self._quantise(made.output[0], result)  # saturates where the clip would cut
            return
        rectified, is_output = result != node.output[0], result in self._view.outputs
        bound = self._bound(result) if rectified else None
        raw = self._name("r") if is_output or bound is not None else result
        if rectified:
            self._add("Relu", [node.output[0]], raw)
        else:
            made.output[0] = raw
        kept = self._quantise(raw, result)
        if bound is not None:
            name = self._name("q")
            self._add("Clip", [kept, self._zero(result), self._constant(np.array(bound, np.uint8))], name)
            kept = name
        self._stored[result] = kept
        if is_output:
            self._dequantise(kept, result, result)

    def _bound(self, result: str) -> int | None:
        """Return the upper bound of a clip in levels, or None where the type itself ends before it."""
        high = bound_at_work(self._regions, self._view, result)
        return None if high is None else round(high / self._scale(result))

    def _dequantised(self, tensor: str) -> str:
        """Return a tensor as an int8 node takes it, from a DequantizeLinear of its own."""
        if not self._regions.stored(tensor):
            return self._pair(self._float(tensor), tensor)
        if tensor not in self._stored:
            self._stored[tensor] = self._quantise(tensor, tensor)
        return self._dequantise(self._stored[tensor], tensor, self._name("d"))

    def _float(self, tensor: str) -> str:
        """Return a tensor as a float node takes it."""
        maker = self._view.producer.get(tensor)
        if tensor not in self._stored or maker is None or not self._written_in_int8(maker):
            return tensor
        if tensor in self._view.outputs:
            return tensor
        if tensor not in self._floats:
            self._floats[tensor] = self._dequantise(self._stored[tensor], tensor, self._name("f"))
        return self._floats[tensor]

    def _written_in_int8(self, node: onnx.NodeProto) -> bool:
        return any(
            node.name in names for names in (self._regions.layers, self._regions.between, self._regions.rectifiers)
        )

    def _pair(self, value: str, tensor: str) -> str:
        return self._dequantise(self._quantise(value, tensor), tensor, self._name("d"))

    def _quantise(self, value: str, tensor: str) -> str:
        kept = self._name("q")
        self._add("QuantizeLinear", [value, self._scale_name(tensor), self._zero(tensor)], kept)
        return kept

    def _dequantise(self, kept: str, tensor: str, name: str) -> str:
        self._add("DequantizeLinear", [kept, self._scale_name(tensor), self._zero(tensor)], name)
        return name

    def _scale(self, tensor: str) -> float:
        return max(self._regions.largest[tensor] / LEVELS, _LEAST_SCALE)

    def _scale_name(self, tensor: str) -> str:
        return self._constant(np.array(self._scale(tensor), np.float32))

    def _zero(self, tensor: str) -> str:
        if tensor in self._regions.unsigned:
            return self._constant(np.array(0, np.uint8))
        self.initializers.setdefault(SIGNED_ZERO, numpy_helper.from_array(np.array(0, np.int8), SIGNED_ZERO))
        return SIGNED_ZERO

    def _constant_in_int8(
        self, weights: str, *, axis: int, across: bool = False, least: NDArray[np.float32] | None = None
    ) -> str:
        """Write weights with one scale an index of `axis`, transposed with `across`; return their float."""
        levels, scale = self._levels(weights, axis, least)
        axis %= levels.ndim
        if across:
            levels, axis = np.ascontiguousarray(levels.T), 1 - axis
        zeros = self._constant(np.zeros(scale.size, np.int8))
        inputs = [self._constant(levels), self._constant(scale.reshape(-1)), zeros]
        name = self._name("w")
        self._add("DequantizeLinear", inputs, name)
        self.nodes[-1].attribute.append(helper.make_attribute("axis", axis))
        return name

    def _levels(
        self, weights: str, axis: int, least: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """Return weights in int8 and their scales, one an index of `axis`, none below its `least`."""
        values = self._value(weights)
        others = tuple(i for i in range(values.ndim) if i != axis % values.ndim)
        largest = np.abs(values).max(axis=others, keepdims=True)
        scale = np.maximum(largest / LEVELS, _LEAST_SCALE).astype(np.float32)
        if least is not None:
            scale = np.maximum(scale, least.reshape(scale.shape))
        return np.rint(values / scale).astype(np.int8), scale

    def _value(self, name: str) -> NDArray[np.float32]:
        values = self._view.constant(name)
        assert values is not None
        return np.asarray(values, np.float32)

    def _constant(self, values: NDArray[np.generic]) -> str:
        """Return the name of an initialiser with these values, made once."""
        key = f"{values.dtype.str} {values.shape} {sha256(values.tobytes()).hexdigest()}"
        if key not in self.initializers:
            self.initializers[key] = numpy_helper.from_array(values, f"c.{len(self.initializers)}")
        return str(self.initializers[key].name)

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{kind}.{self._made}"

    def _add(self, operator: str, inputs: list[str], output: str) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=self._name("n")))

    def _copy(self, node: onnx.NodeProto, inputs: list[str], outputs: list[str]) -> None:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        del copied.input[:], copied.output[:]
        copied.input.extend(inputs)
        copied.output.extend(outputs)
        self.nodes.append(copied)
