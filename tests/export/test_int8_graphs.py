"""int8 graphs: what TensorRT demands of them, what onnxruntime makes of them, and that they compute what fp32 does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from asd_edge.engines.onnx_session import open_session
from asd_edge.engines.onnx_unsigned import SIGNED, unsigned
from asd_export.graph import OPSET
from asd_export.heard import Feed
from asd_export.precision.calibration import find_ranges
from asd_export.precision.plan import QuantisationPlan
from asd_export.precision.quantise import quantised, written

from . import int8_graphs

NAMES = ["inverted residuals", "stream"]

Arrays = list[NDArray[np.float32]]
Graphs = dict[str, bytes]


@pytest.fixture(scope="module")
def fp32() -> Graphs:
    return {"inverted residuals": int8_graphs.inverted_residuals(), "stream": int8_graphs.stream()}


@pytest.fixture(scope="module")
def int8(fp32: Graphs) -> Graphs:
    return {name: quantised(graph, int8_graphs.feeds(graph), QuantisationPlan()) for name, graph in fp32.items()}


def names(graph: bytes) -> tuple[list[str], list[str]]:
    model = onnx.load_from_string(graph)
    return [tensor.name for tensor in model.graph.input], [tensor.name for tensor in model.graph.output]


def run(graph: bytes, feed: Feed) -> Arrays:
    inputs, outputs = names(graph)
    session = open_session(graph, inputs=inputs, outputs=outputs, threads=1, arena=True)
    return [np.asarray(array) for array in session.run(outputs, feed)]


def unfused(graph: bytes, feed: Feed) -> Arrays:
    """Run the graph as it stands, pair by pair in float: what its nodes mean."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return [np.asarray(x) for x in onnxruntime.InferenceSession(graph, options).run(names(graph)[1], feed)]


def noise(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.square(found - expected).sum() / np.square(expected - expected.mean(axis=0)).sum())


def operators(graph: bytes, path: Path) -> Counter[str]:
    """Count the operators that onnxruntime runs in the end."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(unsigned(graph), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("name", NAMES)
def test_outside_it_is_the_fp32_graph(name: str, fp32: Graphs, int8: Graphs) -> None:
    before, after = onnx.load_from_string(fp32[name]), onnx.load_from_string(int8[name])
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)
    assert [(entry.domain, entry.version) for entry in after.opset_import] == [("", OPSET)]
    assert after.ir_version <= 10
    assert {node.domain for node in after.graph.node} == {""}
    assert len({node.name for node in after.graph.node}) == len(after.graph.node)


@pytest.mark.parametrize("name", NAMES)
def test_every_pair_is_one_that_tensorrt_takes(name: str, int8: Graphs) -> None:
    """Zero points of 0, no DequantizeLinear of int32: its parser refuses others."""
    model = onnx.load_from_string(int8[name])
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        zero = values[node.input[2]]
        assert zero.data_type in (TensorProto.INT8, TensorProto.UINT8)
        assert not numpy_helper.to_array(zero).any()
        assert (numpy_helper.to_array(values[node.input[1]]) > 0.0).all()
        if node.input[0] in values:
            assert values[node.input[0]].data_type == TensorProto.INT8


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_has_int8_weights_with_a_scale_an_output_channel(name: str, fp32: Graphs, int8: Graphs) -> None:
    old, new = onnx.load_from_string(fp32[name]), onnx.load_from_string(int8[name])
    given = {tensor.name: numpy_helper.to_array(tensor) for tensor in old.graph.initializer}
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in new.graph.initializer}
    before = [node for node in old.graph.node if node.op_type in ("Conv", "Gemm")]
    maker = {node.output[0]: node for node in new.graph.node}
    after = [node for node in new.graph.node if node.op_type in ("Conv", "MatMul")]
    assert len(after) == len(before) > 0
    for layer, quantised_layer in zip(before, after, strict=True):
        levels, scale = (values[input_] for input_ in maker[quantised_layer.input[1]].input[:2])
        weights = given[layer.input[1]]
        levels = levels.T if layer.op_type == "Gemm" else levels
        assert scale.shape == (len(weights),)
        step = scale.reshape(-1, *[1] * (weights.ndim - 1))
        np.testing.assert_array_less(np.abs(levels * step - weights), 0.5001 * np.broadcast_to(step, weights.shape))
        assert np.abs(levels).reshape(len(weights), -1).max(axis=1).tolist() == [127] * len(weights)


@pytest.mark.parametrize("name", NAMES)
def test_it_computes_what_fp32_does(name: str, fp32: Graphs, int8: Graphs) -> None:
    graph = fp32[name]
    (feed,) = int8_graphs.feeds(graph, count=1, seed=9)
    for found, expected in zip(run(int8[name], feed), run(graph, feed), strict=True):
        assert found.dtype == np.float32
        assert 0.0 < noise(found, expected) < 5e-3  # about 7 bits a tensor; measured 1e-3 and less


@pytest.mark.parametrize("name", NAMES)
def test_fused_it_computes_what_its_nodes_say(name: str, int8: Graphs) -> None:
    """onnxruntime rounds biases and sums in another order, by a level here and there; a wrong type would be far off."""
    (feed,) = int8_graphs.feeds(int8[name], count=1, seed=9)
    for found, expected in zip(run(int8[name], feed), unfused(int8[name], feed), strict=True):
        assert noise(found, expected) < 1e-3


def test_onnxruntime_fuses_all_of_it(int8: Graphs, tmp_path: Path) -> None:
    """Speed without a clock: what remains in float is what int8 costs. The first convolution has one channel."""
    found = operators(int8["inverted residuals"], tmp_path / "optimised.onnx")
    assert found["QLinearConv"] == 8
    assert found["QLinearAdd"] == 2
    assert found["MatMulIntegerToFloat"] == 1
    assert found["Conv"] == found["Gemm"] == found["Add"] == found["Relu"] == 0
    found = operators(int8["stream"], tmp_path / "optimised.onnx")
    assert (found["QLinearConv"], found["QLinearAdd"], found["QLinearConcat"]) == (2, 1, 1)
    assert found["Conv"] == found["Add"] == found["Concat"] == found["Relu"] == 0


def test_the_engine_makes_signed_activations_unsigned_and_nothing_else(fp32: Graphs, int8: Graphs) -> None:
    graph = int8["stream"]
    before, after = onnx.load_from_string(graph), onnx.load_from_string(unsigned(graph))
    assert graph.count(SIGNED) == 1
    changed = [
        (old, new) for old, new in zip(before.graph.initializer, after.graph.initializer, strict=True) if old != new
    ]
    ((old, new),) = changed
    assert (numpy_helper.to_array(old).dtype, int(numpy_helper.to_array(old))) == (np.dtype(np.int8), 0)
    assert (numpy_helper.to_array(new).dtype, int(numpy_helper.to_array(new))) == (np.dtype(np.uint8), 128)
    assert list(before.graph.node) == list(after.graph.node)
    assert unsigned(fp32["stream"]) == fp32["stream"]


@pytest.mark.parametrize("behind", ["nothing", "a layer that pads", "a layer that does not"])
@pytest.mark.parametrize("reached", [1.0, 0.6])
def test_a_clip_still_clips(reached: float, behind: str) -> None:
    """The uint8 of the scale max/127 reaches twice as far as an int8: a clip must not be lost in it."""
    graph = int8_graphs.Graph(2)
    x = graph.clip(graph.convolution("features", 16, 16, 3, 3), 1.0)
    if behind != "nothing":
        pad = int(behind == "a layer that pads")
        x = graph.convolution(x, 16, 16, 3, 3, pads=(pad,) * 4)
    fp32 = graph.finish({"embedding": x}, {"features": ["batch", 16, 8, 8]})
    heard = int8_graphs.feeds(fp32)
    ranges = find_ranges(fp32, heard)
    assert ranges["clip_1"] == (0.0, 1.0)
    ranges["clip_1"] = (0.0, reached)  # as quieter normals would have made it
    (found,), (expected,) = run(written(fp32, ranges, QuantisationPlan()), heard[0]), run(fp32, heard[0])
    assert noise(found, expected) < 5e-3  # measured 2.6e-3 and less; 0.1 where the clip is lost


def test_layers_in_higher_precision_stay_so(fp32: Graphs) -> None:
    graph = fp32["inverted residuals"]
    ranges = find_ranges(graph, int8_graphs.feeds(graph))
    convolutions = [node.name for node in onnx.load_from_string(graph).graph.node if node.op_type in ("Conv", "Gemm")]
    model = onnx.load_from_string(written(graph, ranges, QuantisationPlan(float32=tuple(convolutions))))
    assert not any("Linear" in node.op_type for node in model.graph.node)
    model = onnx.load_from_string(written(graph, ranges, QuantisationPlan(weights=tuple(convolutions))))
    assert not any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    assert sum(node.op_type == "DequantizeLinear" for node in model.graph.node) == len(convolutions)


def test_the_file_is_a_quarter_of_fp32() -> None:
    graph = int8_graphs.Graph(3)
    x = "features"
    for _ in range(4):
        x = graph.add("Relu", [graph.convolution(x, 64, 64, 3, 3)])
    fp32 = graph.finish({"embedding": x}, {"features": ["batch", 64, 4, 4]})
    assert len(quantised(fp32, int8_graphs.feeds(fp32, count=1), QuantisationPlan())) < 0.27 * len(fp32)


def test_a_channel_of_nothing_but_its_bias_keeps_it() -> None:
    """As a batch norm leaves it that has switched a channel off: weights of 1e-9, and a bias of 1."""
    graph = int8_graphs.Graph(3)
    random = np.random.default_rng(3)
    weights = random.normal(0.0, 0.1, (16, 16, 3, 3)).astype(np.float32)
    weights[5] *= 1e-8
    weights[6] = 0.0
    bias = np.ones(16, np.float32)
    made = graph.add("Conv", ["x", graph.constant(weights), graph.constant(bias)], pads=[1, 1, 1, 1])
    fp32 = graph.finish({"y": graph.add("Relu", [made])}, {"x": ["batch", 16, 8, 8]})
    feed = {"x": np.abs(random.normal(0.0, 1.0, (2, 16, 8, 8))).astype(np.float32)}
    int8 = quantised(fp32, [feed], QuantisationPlan())
    found, expected = (
        open_session(each, inputs=["x"], outputs=["y"], threads=1, arena=False).run(None, feed)[0]
        for each in (int8, fp32)
    )
    np.testing.assert_allclose(found[:, 5:7], expected[:, 5:7], atol=0.05)
    np.testing.assert_allclose(found, expected, atol=0.15)
