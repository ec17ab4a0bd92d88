"""Half precision rounded in float32 is half precision: held to NumPy's own halves."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from asd_export.precision.half import halved
from asd_export.precision.rounded import rounded

ROWS = 64


def chain(weights: np.ndarray) -> bytes:
    """x float32 [rows, 8] → three products with constant weights, half precision between them → y float32."""
    products = [
        helper.make_node("MatMul", [f"t{i}" if i else "x", f"w{i}"], [f"t{i + 1}" if i < 2 else "y"], name=f"n{i}")
        for i in range(3)
    ]
    model = helper.make_model(
        helper.make_graph(
            products,
            "chain",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
            [numpy_helper.from_array(weights[i], f"w{i}") for i in range(3)],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    return model.SerializeToString()


def run(graph: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def by_numpy(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Products of halves, summed in float32, each result rounded to half."""
    with np.errstate(over="ignore"):
        for matrix in weights.astype(np.float16).astype(np.float32):
            x = (x.astype(np.float16).astype(np.float32) @ matrix).astype(np.float16).astype(np.float32)
    return x


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((3, 8, 8)).astype(np.float32)


def test_each_number_is_rounded_where_it_is_made(weights: np.ndarray) -> None:
    x = np.random.default_rng(1).standard_normal((ROWS, 8)).astype(np.float32)
    expected = by_numpy(weights, x)
    half = halved(chain(weights))
    found = run(rounded(half), x)
    # Sums in another order round a few results to the neighbour, half a unit of 2⁻¹⁰ of their size.
    assert np.mean(found == expected) > 0.95
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
    exact = run(chain(weights), x)
    assert np.abs(expected - exact).max() > 1e-3  # halves can be told from singles here


def test_what_is_too_large_for_a_half_becomes_infinite_where_a_cpu_would_not_notice(weights: np.ndarray) -> None:
    large, small = weights.copy(), weights.copy()
    large[0] *= 1e4
    large[1] /= 1e4
    x = np.full((1, 8), 100.0, np.float32)
    assert not np.isfinite(by_numpy(large, x)).all()
    assert not np.isfinite(run(rounded(halved(chain(large))), x)).all()
    assert np.isfinite(run(rounded(halved(chain(small))), x)).all()


def alone() -> bytes:
    """x float32 [n] → rounded to half → y float32."""
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 18]>
        alone (float[n] x) => (float[n] y) { half = Cast <to = 10> (x)  y = Cast <to = 1> (half) }
    """)
    return bytes(model.SerializeToString())


def test_every_half_and_what_lies_between_two_is_rounded_as_numpy_does() -> None:
    halves = np.arange(np.float16(np.inf).view(np.uint16), dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = halves[:-1] + np.diff(halves) / 2.0
    beside = [np.nextafter(ties, np.float32(to), dtype=np.float32) for to in (-np.inf, np.inf)]
    ends = np.array([65_519.0, 65_520.0, 1e6, 1e38, np.inf], np.float32)
    x = np.concatenate([halves, ties, *beside, ends])
    x = np.concatenate([x, -x])
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(run(rounded(alone()), x), expected)


def test_no_number_stays_none() -> None:
    assert np.isnan(run(rounded(alone()), np.full(2, np.nan, np.float32))).all()


def test_what_is_too_small_for_a_half_is_lost() -> None:
    small = np.stack([np.eye(8, dtype=np.float32) * factor for factor in (1e-4, 1e3, 1e2)])
    x = np.full((1, 8), 2e-4, np.float32)  # the first product is 2e-8, less than half of the smallest half
    assert run(chain(small), x).min() > 1e-3
    np.testing.assert_array_equal(run(rounded(halved(chain(small))), x), by_numpy(small, x))


def test_what_is_too_low_is_minus_infinity_which_a_rectifier_makes_zero() -> None:
    model = onnx.load_from_string(chain(np.stack([np.eye(8, dtype=np.float32) * f for f in (1e4, 1.0, 1.0)])))
    model.graph.node[1].CopyFrom(helper.make_node("Relu", ["t1"], ["t2"], name="n1"))
    x = np.full((1, 8), -100.0, np.float32)
    np.testing.assert_array_equal(run(rounded(halved(model.SerializeToString())), x), np.zeros((1, 8)))


def test_a_graph_without_halves_stays_what_it_is(weights: np.ndarray) -> None:
    x = np.random.default_rng(2).standard_normal((ROWS, 8)).astype(np.float32)
    graph = chain(weights)
    np.testing.assert_array_equal(run(rounded(graph), x), run(graph, x))
    assert onnx.load_from_string(rounded(graph)).graph.node[0].op_type == "MatMul"
