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
from asd_export.precision.calibration import METHODS, Seen, find_ranges
from asd_export.precision.plan import QuantisationPlan
from asd_export.precision.quantise import quantised, written
from asd_export.precision.sensitivity import sweep

from . import int8_graphs

GRAPHS = {"inverted residuals": int8_graphs.inverted_residuals(), "stream": int8_graphs.stream()}
NAMES = list(GRAPHS)
INT8 = {name: quantised(graph, int8_graphs.feeds(graph), QuantisationPlan()) for name, graph in GRAPHS.items()}

Arrays = list[NDArray[np.float32]]


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
def test_outside_it_is_the_fp32_graph(name: str) -> None:
    fp32, int8 = onnx.load_from_string(GRAPHS[name]), onnx.load_from_string(INT8[name])
    assert list(int8.graph.input) == list(fp32.graph.input)
    assert list(int8.graph.output) == list(fp32.graph.output)
    assert [(entry.domain, entry.version) for entry in int8.opset_import] == [("", OPSET)]
    assert int8.ir_version <= 10
    assert {node.domain for node in int8.graph.node} == {""}
    assert len({node.name for node in int8.graph.node}) == len(int8.graph.node)


@pytest.mark.parametrize("name", NAMES)
def test_every_pair_is_one_that_tensorrt_takes(name: str) -> None:
    """Zero points of 0, no DequantizeLinear of int32: its parser refuses others."""
    model = onnx.load_from_string(INT8[name])
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
def test_every_layer_has_int8_weights_with_a_scale_an_output_channel(name: str) -> None:
    fp32, int8 = onnx.load_from_string(GRAPHS[name]), onnx.load_from_string(INT8[name])
    given = {tensor.name: numpy_helper.to_array(tensor) for tensor in fp32.graph.initializer}
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in int8.graph.initializer}
    before = [node for node in fp32.graph.node if node.op_type in ("Conv", "Gemm")]
    maker = {node.output[0]: node for node in int8.graph.node}
    after = [node for node in int8.graph.node if node.op_type in ("Conv", "MatMul")]
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
def test_it_computes_what_fp32_does(name: str) -> None:
    graph = GRAPHS[name]
    (feed,) = int8_graphs.feeds(graph, count=1, seed=9)
    for found, expected in zip(run(INT8[name], feed), run(graph, feed), strict=True):
        assert found.dtype == np.float32
        assert 0.0 < noise(found, expected) < 5e-3  # about 7 bits a tensor; measured 1e-3 and less


@pytest.mark.parametrize("name", NAMES)
def test_fused_it_computes_what_its_nodes_say(name: str) -> None:
    """onnxruntime rounds biases and sums in another order, by a level here and there; a wrong type would be far off."""
    (feed,) = int8_graphs.feeds(GRAPHS[name], count=1, seed=9)
    for found, expected in zip(run(INT8[name], feed), unfused(INT8[name], feed), strict=True):
        assert noise(found, expected) < 1e-3


def test_onnxruntime_fuses_all_of_it(tmp_path: Path) -> None:
    """Speed without a clock: what remains in float is what int8 costs. The first convolution has one channel."""
    found = operators(INT8["inverted residuals"], tmp_path / "optimised.onnx")
    assert found["QLinearConv"] == 8
    assert found["QLinearAdd"] == 2
    assert found["MatMulIntegerToFloat"] == 1
    assert found["Conv"] == found["Gemm"] == found["Add"] == found["Relu"] == 0
    found = operators(INT8["stream"], tmp_path / "optimised.onnx")
    assert (found["QLinearConv"], found["QLinearAdd"], found["QLinearConcat"]) == (2, 1, 1)
    assert found["Conv"] == found["Add"] == found["Concat"] == found["Relu"] == 0


def test_the_engine_makes_signed_activations_unsigned_and_nothing_else() -> None:
    before, after = (onnx.load_from_string(graph) for graph in (INT8["stream"], unsigned(INT8["stream"])))
    assert INT8["stream"].count(SIGNED) == 1
    changed = [
        (old, new) for old, new in zip(before.graph.initializer, after.graph.initializer, strict=True) if old != new
    ]
    ((old, new),) = changed
    assert (numpy_helper.to_array(old).dtype, int(numpy_helper.to_array(old))) == (np.dtype(np.int8), 0)
    assert (numpy_helper.to_array(new).dtype, int(numpy_helper.to_array(new))) == (np.dtype(np.uint8), 128)
    assert list(before.graph.node) == list(after.graph.node)
    assert unsigned(GRAPHS["stream"]) is GRAPHS["stream"] or unsigned(GRAPHS["stream"]) == GRAPHS["stream"]


def test_a_clip_that_is_at_work_still_clips() -> None:
    """The uint8 of the scale max/127 reaches twice as far as an int8: a clip must not be lost in it."""
    graph = int8_graphs.Graph(2)
    x = graph.clip(graph.convolution("features", 16, 16, 3, 3), 1.0)
    fp32 = graph.finish({"embedding": x}, {"features": ["batch", 16, 8, 8]})
    calibrating = int8_graphs.feeds(fp32)
    loud = {name: 10.0 * x for name, x in calibrating[0].items()}
    (found,) = run(quantised(fp32, calibrating, QuantisationPlan()), loud)
    assert found.max() == pytest.approx(1.0, abs=0.01)
    assert found.min() == 0.0


def test_layers_in_higher_precision_stay_so() -> None:
    graph = GRAPHS["inverted residuals"]
    ranges = find_ranges(graph, int8_graphs.feeds(graph), "minmax")
    convolutions = [node.name for node in onnx.load_from_string(graph).graph.node if node.op_type in ("Conv", "Gemm")]
    model = onnx.load_from_string(written(graph, ranges, QuantisationPlan(float32=tuple(convolutions))))
    assert not any("Linear" in node.op_type for node in model.graph.node)
    model = onnx.load_from_string(written(graph, ranges, QuantisationPlan(weights=tuple(convolutions))))
    assert not any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    assert sum(node.op_type == "DequantizeLinear" for node in model.graph.node) == len(convolutions)


def test_a_sweep_is_measured_and_reproducible() -> None:
    graph = GRAPHS["inverted residuals"]
    calibrating = int8_graphs.feeds(graph)
    found = sweep(graph, calibrating)
    assert found == sweep(graph, calibrating)
    assert QuantisationPlan.model_validate_json(found.plan.model_dump_json()) == found.plan
    assert found.plan.float32 == ("node_conv_0",)  # one input channel
    assert found.plan.method == "minmax"
    assert set(found.methods) == set(METHODS)
    strict = sweep(graph, calibrating, budget=found.noise / 2)
    assert strict.noise < found.noise
    first = max(found.layers, key=lambda layer: layer.noise)
    assert strict.plan.weights[0] == first.layer
    assert {each.layer: each.precision for each in strict.layers}[first.layer] == "weights"
    assert found.table().splitlines()[3].startswith(first.layer)


def test_the_file_is_a_quarter_of_fp32() -> None:
    graph = int8_graphs.Graph(3)
    x = "features"
    for _ in range(4):
        x = graph.add("Relu", [graph.convolution(x, 64, 64, 3, 3)])
    fp32 = graph.finish({"embedding": x}, {"features": ["batch", 64, 4, 4]})
    assert len(quantised(fp32, int8_graphs.feeds(fp32, count=1), QuantisationPlan())) < 0.27 * len(fp32)


def seen(values: NDArray[np.float64]) -> Seen:
    largest = float(np.abs(values).max())
    return Seen(float(values.min()), float(values.max()), np.histogram(np.abs(values), 2048, (0.0, largest))[0])


def test_a_percentile_is_numpys() -> None:
    values = np.random.default_rng(0).standard_normal(100_000)
    low, high = seen(values).range("percentile")
    expected = np.quantile(np.abs(values), 0.9999)
    assert (high, -low) == (pytest.approx(expected, rel=2e-3), pytest.approx(expected, rel=2e-3))


def test_entropy_clips_long_tails_and_keeps_what_fills_its_range() -> None:
    random = np.random.default_rng(0)
    tailed = np.concatenate((random.standard_normal(100_000), [60.0]))
    assert 2.5 < seen(tailed).range("entropy")[1] < 30.0
    flat = random.uniform(-1.0, 1.0, 100_000)
    assert seen(flat).range("entropy")[1] > 0.95
    assert seen(np.where(random.random(100_000) < 0.9, 0.0, np.abs(flat))).range("entropy")[1] > 0.95
