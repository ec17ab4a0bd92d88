"""fp16 graphs: which nodes compute in half precision, that the numbers fit it, and what a network loses by it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.embedder import load_embedder
from asd_edge.pipeline import SegmentStream
from asd_edge.simulator import SimulatedMachine
from asd_export.graph import OPSET
from asd_export.precision.half import halved
from tests.edge.tiny_bundle import GOLDEN

Array = NDArray[np.float32]
NETWORK = ("stream.fp32.onnx", "head.fp32.onnx")

# What every rule is about: standardisation, two layers with a shortcut, a norm of magnitudes, a pooled unit vector.
BLOCK = """
<ir_version: 10, opset_import: ["": 18]>
block (float[n, 4, 8] features) => (float[n, 4] embedding, float[n, 4, 8] kept)
<float[1] middle = {-40.0}, float[1] scale = {0.1}, float least = {1e-12}, float zero = {0.0},
 int64[1] time = {2}, int64[1] across = {1}>
{
    centred = Sub (features, middle)
    x = Mul (centred, scale)
    first = Conv (x, w)
    normed = BatchNormalization (first, gamma, beta, mean, variance)
    y = Relu (normed)
    second = Conv (y, w)
    again = BatchNormalization (second, gamma, beta, mean, narrow)
    sum = Add (again, y)
    kept = Relu (sum)
    third = Conv (kept, w)
    power = Mul (third, third)
    pooled = ReduceMean <keepdims = 0> (power, time)
    projected = Gemm (pooled, dense)
    length = ReduceL2 (projected, across)
    long = Max (length, least)
    embedding = Div (projected, long)
}
"""


def block(*, variance: float = 1.0) -> bytes:
    """The block with weights; `variance` of what the batch norm was trained on."""
    model = onnx.parser.parse_model(BLOCK)
    random = np.random.default_rng(0)
    values = {
        "w": random.normal(0.0, 0.5, (4, 4, 1)),
        "dense": random.normal(0.0, 0.5, (4, 4)),
        "gamma": np.full(4, np.sqrt(variance)),
        "beta": np.full(4, 0.1),
        "mean": np.full(4, 0.2),
        "variance": np.full(4, variance),
        "narrow": np.full(4, 0.5 * variance),
    }
    model.graph.initializer.extend(numpy_helper.from_array(v.astype(np.float32), k) for k, v in values.items())
    return bytes(model.SerializeToString())


def types(graph: bytes) -> dict[str, int]:
    """The type of every tensor that a node makes."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph), strict_mode=True)
    values = (*model.graph.value_info, *model.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def run(graph: bytes, **feed: Array) -> list[Array]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return [np.asarray(found) for found in session.run(None, feed)]


def relative(found: Array, expected: Array) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def sound(seed: int = 0, items: int = 3) -> Array:
    return np.random.default_rng(seed).normal(-40.0, 12.0, (items, 4, 8)).astype(np.float32)


def test_layers_and_the_plain_arithmetic_between_them_are_in_half_precision() -> None:
    half = {name for name, kind in types(halved(block())).items() if kind == TensorProto.FLOAT16}
    made = {"first", "normed", "y", "second", "again", "sum", "third", "projected"}
    casts = {"x_half", "kept_half", "pooled_half"}  # into half precision; `kept` is an output, and made as kept_half
    assert half == made | casts


def test_a_tensor_is_cast_once_for_all_who_take_it() -> None:
    casts = [node for node in onnx.load_from_string(halved(block())).graph.node if node.op_type == "Cast"]
    # x -> half, kept -> float (output), third -> float (taken three times), pooled -> half, projected -> float
    assert Counter(node.input[0] for node in casts) == dict.fromkeys(
        ["x", "kept_half", "third", "pooled", "projected"], 1
    )


def test_the_interface_is_that_of_the_fp32_graph() -> None:
    before, after = onnx.load_from_string(block()), onnx.load_from_string(halved(block()))
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)
    assert {entry.domain: entry.version for entry in after.opset_import} == {"": OPSET}
    assert (after.ir_version, len(after.graph.value_info)) == (10, 0)


@pytest.mark.parametrize("weights_only", [False, True])
def test_numbers_are_those_of_fp32_to_eleven_bits(weights_only: bool) -> None:
    expected = run(block(), features=sound())
    found = run(halved(block(), weights_only=weights_only), features=sound())
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        assert 0.0 < relative(ours, theirs) < 2e-3  # a handful of roundings of 5e-4


def test_with_weights_only_every_computed_tensor_is_float32() -> None:
    graph = halved(block(), weights_only=True)
    model = onnx.load_from_string(graph)
    halves = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    assert halves == {"w_half", "dense_half"}
    assert TensorProto.FLOAT16 not in types(graph).values()


def test_a_batch_norm_of_magnitudes_fits() -> None:
    graph = block(variance=1e8)  # half precision ends at 65,504
    assert relative(run(halved(graph), features=sound())[0], run(graph, features=sound())[0]) < 2e-3


def test_a_layer_with_weights_beyond_half_precision_stays_in_float32() -> None:
    model = onnx.load_from_string(block())
    (dense,) = [tensor for tensor in model.graph.initializer if tensor.name == "dense"]
    dense.CopyFrom(numpy_helper.from_array(1e5 * numpy_helper.to_array(dense), "dense"))
    graph = bytes(model.SerializeToString())
    assert types(halved(graph))["projected"] == TensorProto.FLOAT
    assert relative(run(halved(graph), features=sound())[0], run(graph, features=sound())[0]) < 2e-3


SPECTRUM = """
<ir_version: 10, opset_import: ["": 18]>
branch (float[n, 8] spectrum) => (float[n, 2] embedding) <int64[1] across = {1}>
{
    channel = Unsqueeze (spectrum, across)
    mixed = MatMul (channel, mix)
    flat = Squeeze (mixed, across)
    rectified = Relu (flat)
    embedding = Gemm (rectified, dense)
}
"""


def test_what_reads_magnitudes_stays_in_float32() -> None:
    model = onnx.parser.parse_model(SPECTRUM)
    random = np.random.default_rng(1)
    for name, shape in (("mix", (8, 4)), ("dense", (4, 2))):
        value = np.abs(random.normal(0.0, 0.05, shape)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    graph = bytes(model.SerializeToString())
    tone = np.full((1, 8), 80_000.0, np.float32)  # a loud one in a spectrum of ten seconds
    assert types(halved(graph))["mixed"] == TensorProto.FLOAT
    assert relative(run(halved(graph), spectrum=tone)[0], run(graph, spectrum=tone)[0]) < 2e-3
    assert types(halved(graph, keep=()))["mixed"] == TensorProto.FLOAT16  # where it would be infinite


def test_a_stream_graph_keeps_its_pasts_in_float32() -> None:
    graph = (GOLDEN / "tiny_stream.onnx").read_bytes()
    model = onnx.load_from_string(graph)
    random = np.random.default_rng(2)
    shapes = {value.name: [d.dim_value or 5 for d in value.type.tensor_type.shape.dim] for value in model.graph.input}
    feed = {name: random.normal(0.0, 1.0, shape).astype(np.float32) for name, shape in shapes.items()}
    expected, found = run(graph, **feed), run(halved(graph), **feed)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        assert relative(ours, theirs) < 3e-3
    assert len(halved(graph)) < 0.6 * len(graph)


@pytest.mark.parametrize("weights_only", [False, True])
def test_the_default_network_hears_the_same(weights_only: bool) -> None:
    bundle = load_bundle("default")
    in_half = {name: halved(bundle.graphs[name], weights_only=weights_only) for name in NETWORK}
    assert all(len(in_half[name]) < 0.53 * len(bundle.graphs[name]) for name in NETWORK)
    fp32 = bundle.pipeline()
    members = {**bundle.graphs, **in_half}
    half = replace(fp32, embedder=load_embedder(bundle.manifest.graphs, members, "stream", "fp32"))
    sound = SimulatedMachine("fan", seed=1).render(80_000)
    expected, found = (SegmentStream(pipeline).push(sound).embeddings for pipeline in (fp32, half))
    apart = 1.0 - np.sum(found.astype(np.float64) * expected, axis=1)
    assert apart.max() <= 1e-5  # a hundredth of what the parity gate allows; measured: 2e-7
