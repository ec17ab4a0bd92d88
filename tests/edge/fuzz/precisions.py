"""The tiny graphs in half precision and in eight bits, as an exporter writes them: what a mutant is made from."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS = {"MatMul", "Gemm", "Conv"}
SCALE = np.float32(0.5)
"""Of every activation: nothing here has to be accurate, only to be a graph with real Q/DQ pairs."""


def in_half_precision(graph: bytes) -> bytes:
    """Return the graph with weights and tensors of float16 and float32 at its ends."""
    model = onnx.load_from_string(graph)
    inner = model.graph
    for tensor in inner.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    ends = {value.name for value in (*inner.input, *inner.output)}
    nodes = list(inner.node)
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [f"{name}_half" if name in ends else name for name in names]
    del inner.node[:]
    inner.node.extend(_cast(value.name, f"{value.name}_half", TensorProto.FLOAT16) for value in inner.input)
    inner.node.extend(nodes)
    inner.node.extend(_cast(f"{value.name}_half", value.name, TensorProto.FLOAT) for value in inner.output)
    return bytes(model.SerializeToString())


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=kind)


def in_eight_bits(graph: bytes) -> bytes:
    """Return the graph with a Q/DQ pair before every layer, and the layers' weights in int8."""
    model = onnx.load_from_string(graph)
    inner = model.graph
    weights = {tensor.name: tensor for tensor in inner.initializer}
    scalars = {"scale": np.array(SCALE), "zero": np.array(0, np.int8)}
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(inner.node):
        if node.op_type in LAYERS:
            source, weight = node.input[0], weights[node.input[1]]
            pair = [f"{source}_{number}_bytes", f"{source}_{number}_read"]
            nodes.append(helper.make_node("QuantizeLinear", [source, "scale", "zero"], pair[:1], name=pair[0]))
            nodes.append(helper.make_node("DequantizeLinear", [pair[0], "scale", "zero"], pair[1:], name=pair[1]))
            values = numpy_helper.to_array(weight)
            step = np.float32(np.abs(values).max() / 127)
            whole = np.round(values / step).astype(np.int8)
            weight.CopyFrom(numpy_helper.from_array(whole, weight.name))
            scalars[f"{weight.name}_scale"] = np.array(step)
            read = f"{weight.name}_read"
            nodes.append(
                helper.make_node("DequantizeLinear", [weight.name, f"{weight.name}_scale", "zero"], [read], name=read)
            )
            node.input[:2] = [pair[1], read]
        nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del inner.node[:]
    inner.node.extend(kept)
    inner.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in scalars.items())
    return bytes(model.SerializeToString())
