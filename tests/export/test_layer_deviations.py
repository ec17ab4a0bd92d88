"""The table of deviations by layer: it names the layer that is broken, and speaks of every precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from asd_export.heard import Feed
from asd_export.precision.half import halved
from asd_export.precision.layers import deviations, jumps, table

# Four layers with a shortcut. `past` stands for what a stream graph remembers.
NETWORK = """
<ir_version: 10, opset_import: ["": 18]>
network (float[n, 4, 8] features, float[n, 4, 2] past) => (float[n, 4] embedding, float[n, 4, 2] next_past)
<int64[1] time = {2}, int64[1] new = {-2}, int64[1] end = {1000}>
{
    joined = Concat <axis = 2> (past, features)
    next_past = Slice (joined, new, end, time)
    first = Conv <pads = [1, 1]> (joined, stem)
    x = Relu (first)
    second = Conv <pads = [1, 1]> (x, inner)
    y = Relu (second)
    third = Conv <pads = [1, 1]> (y, outer)
    sum = Add (third, x)
    z = Relu (sum)
    pooled = ReduceMean <keepdims = 0> (z, time)
    embedding = Gemm (pooled, dense)
}
"""
LAYERS = {"stem": "first", "inner": "second", "outer": "third", "dense": "embedding"}


def network() -> bytes:
    model = onnx.parser.parse_model(NETWORK)
    random = np.random.default_rng(0)
    for name in LAYERS:
        shape = (4, 4) if name == "dense" else (4, 4, 3)
        weights = random.normal(0.0, 0.4, shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def feeds() -> list[Feed]:
    random = np.random.default_rng(1)
    return [
        {"features": random.normal(size=(3, 4, 8)).astype(np.float32), "past": random.normal(size=(3, 4, 2))}
        | {"past": random.normal(size=(3, 4, 2)).astype(np.float32)}
        for _ in range(2)
    ]


def changed(graph: bytes, weights: str, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> bytes:
    model = onnx.load_from_string(graph)
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == weights]
    value = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(change(value).astype(value.dtype), weights))
    return bytes(model.SerializeToString())


def one_channel_negated(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    broken = weights.copy()
    broken[0] *= -1.0
    return broken


@pytest.mark.parametrize("broken", LAYERS)
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_the_broken_layer_is_the_first_with_a_jump(broken: str, half: bool) -> None:
    graph = network()
    other = changed(halved(graph), f"{broken}_half", one_channel_negated) if half else None
    found = deviations(graph, other or changed(graph, broken, one_channel_negated), feeds())
    first = jumps(found)[0]
    assert (first.tensor, first.weights) == (LAYERS[broken], broken)
    arrows = [line for line in table(found).splitlines() if line.endswith("<- jump")]
    assert broken in arrows[0].split()


def test_the_same_graph_deviates_nowhere_and_all_layers_are_there_in_order() -> None:
    found = deviations(network(), network(), feeds())
    assert [layer.tensor for layer in found] == [
        "first",
        "x",
        "second",
        "y",
        "third",
        "sum",
        "z",
        "pooled",
        "embedding",
    ]
    assert [layer.deviation for layer in found] == [0.0] * len(found)
    assert jumps(found) == []


def test_a_deviation_is_the_root_mean_square_of_the_differences_as_a_share_of_fp32s() -> None:
    def larger(weights: NDArray[np.float32]) -> NDArray[np.float32]:
        return weights * np.float32(1.25)

    last = deviations(network(), changed(network(), "dense", larger), feeds())[-1]
    assert last.deviation == pytest.approx(0.25, rel=1e-5)
    assert last.before == 0.0


def test_numbers_that_overflow_deviate_without_bound() -> None:
    graph = changed(network(), "inner", lambda weights: weights * np.float32(5e4))
    found = deviations(graph, halved(graph), [{name: 100.0 * x for name, x in feed.items()} for feed in feeds()])
    assert jumps(found)[0].weights == "inner"
    assert np.isinf(jumps(found)[0].deviation)


def quantised(graph: bytes, *, steps: float) -> bytes:
    """The graph with a past of int8, and with int8 pairs around `y`, of so many steps to the unit."""
    model = onnx.load_from_string(graph)
    (past,) = [value for value in model.graph.input if value.name == "past"]
    past.type.tensor_type.elem_type = onnx.TensorProto.INT8
    made = []
    for node in model.graph.node:
        node.input[:] = [{"past": "past_float", "y": "y_float"}.get(name, name) for name in node.input]
        if node.op_type == "Concat":
            made.append(onnx.helper.make_node("DequantizeLinear", ["past", "fine", "zero"], ["past_float"]))
        made.append(node)
        if node.output[0] == "y":
            made.append(onnx.helper.make_node("QuantizeLinear", ["y", "scale", "zero"], ["y_int8"]))
            made.append(onnx.helper.make_node("DequantizeLinear", ["y_int8", "scale", "zero"], ["y_float"]))
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in made]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    scales = {"fine": np.float32(1 / 30), "scale": np.float32(1 / steps), "zero": np.int8(0)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in scales.items())
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def test_an_int8_graph_is_compared_before_it_quantises_and_behind() -> None:
    found = {layer.tensor: layer for layer in deviations(network(), quantised(network(), steps=1.0), feeds())}
    assert 0.0 < found["first"].deviation < 0.05  # its past came in int8, and is fed so
    assert found["y"].deviation < 0.05  # not yet quantised
    assert found["third"].deviation > 0.1  # what is left of `y` are whole numbers
    assert jumps(list(found.values()))[0].tensor == "third"
