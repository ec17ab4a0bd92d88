"""fp32 graph -> fp16 graph: mixed precision, with every type written into the graph.

Half precision is for what has the weights and takes the time: convolutions and dense layers, and the plain arithmetic
that carries numbers from one to the next. All else stays in float32: divisions, roots, exponentials, norms, sums over
time, products of two computed tensors, what comes before the first such layer (the standardisation of decibels) and
what comes behind the last (the embedding). So divide the lists of mixed-precision training (Micikevicius et al., Mixed
precision training, ICLR 2018, section 3.3). Operator and place decide, never a name.

Half precision rounds every number by up to 5e-4 of itself. Where a network measures how its own activations vary in
time (attention pooling), a sound that does not vary at all has that rounding for its variance: `weights_only` is for
graphs that fail parity. It halves the size, changes no arithmetic, and gains no speed.

Strongly typed builders (TensorRT 11) compute each tensor in the type that the graph gives it; the casts stand here, at
most one for a tensor. onnxruntime's converter is no substitute: between two neighbours that are to stay in float32 it
rounds to half and back, which is what their staying shall prevent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from ..graph import SPECTRUM

_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
"""Layers, if their second operand is constant."""
_LIGHT = frozenset({"Add", "BatchNormalization", "LeakyRelu", "Mul"})
"""What rounds once: in half precision between two layers that are."""
_EXACT = frozenset(
    {"Clip", "Concat", "Flatten", "Gather", "MaxPool", "Pad", "ReduceMax", "Relu", "Reshape", "Slice"}
    | {"Split", "Squeeze", "Transpose", "Unsqueeze"}
)
"""What moves or selects numbers and rounds none: in the precision that they come in."""

_LARGEST = float(np.finfo(np.float16).max)

Constants = dict[str, NDArray[np.generic]]


def halved(graph: bytes, *, keep: Collection[str] = (SPECTRUM,), weights_only: bool = False) -> bytes:
    """Return an fp32 graph in half precision where that is safe; inputs and outputs stay float32.

    Args:
        graph: serialised, as `onnx_of` gives it.
        keep: inputs with a range that half precision has not: a layer that reads them stays in float32. A loud tone
            has a magnitude of 80,000 in a spectrum of ten seconds, and half precision ends at 65,504.
        weights_only: the weights of those layers are stored in half precision, and all is computed in float32.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph), strict_mode=True)
    constants: Constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    choice = _Choice(model.graph, constants, keep)
    layers = choice.layers()
    chosen = set() if weights_only else choice.in_half(layers)
    typed = _Typed(model.graph, constants)
    nodes: list[NodeProto] = []
    for i, node in enumerate(model.graph.node):
        nodes += typed.node(node, half=i in chosen) if i in chosen or i not in layers else typed.stored_in_half(node)
    nodes += typed.outputs()
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(constants[name], name) for name in constants if name in used)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _floats(graph: GraphProto, constants: Constants) -> set[str]:
    """Return the names of all float32 tensors."""
    values = (*graph.input, *graph.value_info, *graph.output)
    computed = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return computed | {name for name, value in constants.items() if value.dtype == np.float32}


class _Choice:
    """Which nodes of a graph are computed in half precision."""

    def __init__(self, graph: GraphProto, constants: Constants, keep: Collection[str]) -> None:
        self._nodes = list(graph.node)
        self._constants, self._keep = constants, keep
        self._computed = _floats(graph, constants) - set(constants)

    def in_half(self, layers: Collection[int]) -> set[int]:
        """Return the indices of these layers and of what goes with them."""
        between = self._between(layers)
        chosen, halves = set[int](), set[str]()
        for i, node in enumerate(self._nodes):
            inputs = self._inputs(node)
            carried = node.op_type in _EXACT and bool(inputs) and halves.issuperset(inputs)
            if i in layers or i in between or carried:
                chosen.add(i)
                halves.update(node.output)
        return chosen

    def _inputs(self, node: NodeProto) -> list[str]:
        """Return the computed numbers that a node takes."""
        return [name for name in node.input if name in self._computed]

    def layers(self) -> set[int]:
        """Return the indices of the layers whose numbers half precision can hold."""
        layers, wide = set(), set(self._keep)
        for i, node in enumerate(self._nodes):
            if node.op_type in _EXACT and wide.intersection(node.input):
                wide.update(node.output)
            elif node.op_type in _WEIGHTED and node.input[1] in self._constants and node.input[0] not in wide:
                weights = [self._constants[name] for name in node.input if name in self._constants]
                if all(np.abs(weight).max(initial=0.0) <= _LARGEST for weight in weights):
                    layers.add(i)
        return layers

    def _between(self, layers: Collection[int]) -> set[int]:
        """Return the plain arithmetic on the ways from one layer to another."""
        plain = [i for i, node in enumerate(self._nodes) if self._is_plain(node)]
        behind = {name for i in layers for name in self._nodes[i].output}
        ahead = {self._nodes[i].input[0] for i in layers}
        for i in plain:
            if behind.intersection(self._nodes[i].input):
                behind.update(self._nodes[i].output)
        for i in reversed(plain):
            if ahead.intersection(self._nodes[i].output):
                ahead.update(self._inputs(self._nodes[i]))
        return {
            i for i in plain if behind.intersection(self._nodes[i].input) and ahead.intersection(self._nodes[i].output)
        }

    def _is_plain(self, node: NodeProto) -> bool:
        product = node.op_type == "Mul" and len(self._inputs(node)) > 1
        return node.op_type in _LIGHT | _EXACT and not product


class _Typed:
    """Writes nodes anew in the precision chosen for each, with casts where a tensor comes in the other."""

    def __init__(self, graph: GraphProto, constants: Constants) -> None:
        self._constants = constants
        self._floats = _floats(graph, constants)
        self._outputs = {value.name for value in graph.output} & self._floats
        self._halves: set[str] = set()  # tensors that are made in half precision
        self._cast: set[str] = set()

    def node(self, node: NodeProto, *, half: bool) -> Iterator[NodeProto]:
        """Yield the casts that a node needs, and the node."""
        made = NodeProto()
        made.CopyFrom(node)
        if half and node.op_type == "BatchNormalization":
            self._normalise(made)
        for i, name in enumerate(made.input):
            if name in self._floats and half != (name in self._halves):
                made.input[i] = renamed = f"{name}_half" if half else f"{name}_float"
                if name in self._constants:
                    self._constants[renamed] = self._constants[name].astype(np.float16)
                elif renamed not in self._cast:
                    self._cast.add(renamed)
                    yield _cast(self._source(name), renamed, half=half)
            elif name in self._halves:
                made.input[i] = self._source(name)
        if half:
            self._halves.update(name for name in made.output if name in self._floats)
            made.output[:] = [self._source(name) for name in made.output]
        yield made

    def stored_in_half(self, node: NodeProto) -> Iterator[NodeProto]:
        """Yield the casts of a layer's weights, and the layer, which computes in float32."""
        made = NodeProto()
        made.CopyFrom(node)
        for i, name in enumerate(made.input):
            if name in self._constants:
                made.input[i], half = f"{name}_float", f"{name}_half"
                if half not in self._constants:
                    self._constants[half] = self._constants[name].astype(np.float16)
                    yield _cast(half, made.input[i], half=False)
        yield made

    def outputs(self) -> Iterator[NodeProto]:
        """Yield the casts of the graph's outputs."""
        for name in sorted(self._outputs & self._halves):
            yield _cast(self._source(name), name, half=False)

    def _source(self, name: str) -> str:
        """Return what a tensor is called where it is made: an output of the graph keeps its name for the float32."""
        return f"{name}_half" if name in self._outputs and name in self._halves else name

    # γ·(x − μ)/√(σ² + ε) + β as s·x + b: a variance of magnitudes does not fit half precision, the quotient does.
    def _normalise(self, node: NodeProto) -> None:
        _, *names = node.input
        scale, shift, mean, variance = (self._constants[name].astype(np.float64) for name in names)
        epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
        slope = scale / np.sqrt(variance + epsilon)
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("epsilon", 0.0))
        merged = (slope, shift - slope * mean, np.zeros_like(mean), np.ones_like(variance))
        for i, value in enumerate(merged, start=1):  # named by the node: several may share what they were made of
            node.input[i] = f"{node.output[0]}_norm_{i}"
            self._floats.add(node.input[i])
            self._constants[node.input[i]] = value.astype(np.float32)


def _cast(name: str, to: str, *, half: bool) -> NodeProto:
    return helper.make_node("Cast", [name], [to], name=to, to=TensorProto.FLOAT16 if half else TensorProto.FLOAT)
