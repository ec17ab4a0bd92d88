"""A half-precision graph as hardware with half precision computes it, for the parity gate on a CPU that has none.

onnxruntime on x86 has no kernels in half precision: it computes these nodes in float32 and takes the casts between two
of them away, so nothing is rounded and nothing overflows, and any graph would pass. Here every number that is half in
the graph is rounded to half where it is made, by float32 arithmetic that no optimiser takes away.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

_SPLIT = np.float32(2.0**13 + 1.0)
"""Veltkamp's constant: x·s − (x·s − x) keeps the 24 − 13 = 11 leading bits of a float32, which is a half's precision
(Dekker, A floating-point technique for extending the available precision, 1971)."""
_NORMAL = np.float32(2.0**-14)
_SHIFT = np.float32(0.75)
"""Below 2⁻¹⁴ halves are the multiples of 2⁻²⁴, and such is the spacing of float32 from ½ to 1: (x + ¾) − ¾ rounds to
them."""
_LARGEST = np.float32(65_504.0)
_CONSTANTS = {
    "to_half.split": _SPLIT,
    "to_half.normal": _NORMAL,
    "to_half.shift": _SHIFT,
    "to_half.largest": _LARGEST,
    "to_half.infinity": np.float32(np.inf),
}


def rounded(graph: bytes) -> bytes:
    """Return a graph that gives in float32 what a half-precision graph gives where half precision is computed.

    Sums within a node stay float32, as tensor cores accumulate them. A number beyond ±65,504 becomes ±infinity.
    """
    model = onnx.load_from_string(graph)
    halves = _halves(onnx.shape_inference.infer_shapes(model, strict_mode=True))
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        to_half = node.op_type == "Cast" and node.output[0] in halves
        to_float = node.op_type == "Cast" and node.input[0] in halves
        made = NodeProto()
        made.CopyFrom(node)
        if to_half or to_float:  # both are float32 now; what is cast to half is rounded below
            made = helper.make_node("Identity", list(node.input), list(node.output), name=node.name)
        for i, name in enumerate(made.output):
            if name in halves:
                made.output[i] = f"{name}_exact"
        nodes.append(made)
        nodes += [each for name in node.output if name in halves for each in _rounding(name)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(_single(tensor), tensor.name))
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in _CONSTANTS.items())
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _single(tensor: TensorProto) -> NDArray[np.float32]:
    return np.asarray(numpy_helper.to_array(tensor), np.float32)


def _halves(model: onnx.ModelProto) -> set[str]:
    """Return the names of the computed tensors in half precision."""
    return {value.name for value in model.graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT16}


def _rounding(name: str) -> Iterator[NodeProto]:
    """Yield what makes a tensor from its exact numbers: the nearest halves, infinity beyond the largest."""

    def part(label: str) -> str:
        return f"{name}_{label}"

    exact = part("exact")
    for operator, inputs, output in (
        ("Mul", [exact, "to_half.split"], part("by")),
        ("Sub", [part("by"), exact], part("low")),
        ("Sub", [part("by"), part("low")], part("normal")),
        ("Add", [exact, "to_half.shift"], part("shifted")),
        ("Sub", [part("shifted"), "to_half.shift"], part("subnormal")),
        ("Abs", [exact], part("size")),
        ("Less", [part("size"), "to_half.normal"], part("small")),
        ("Where", [part("small"), part("subnormal"), part("normal")], part("kept")),
        ("Abs", [part("kept")], part("kept_size")),
        ("LessOrEqual", [part("kept_size"), "to_half.largest"], part("fits")),
        ("Sign", [exact], part("sign")),
        ("Mul", [part("sign"), "to_half.infinity"], part("beyond")),
        ("Where", [part("fits"), part("kept"), part("beyond")], name),
    ):
        yield helper.make_node(operator, inputs, [output], name=f"{output}_rounding")
