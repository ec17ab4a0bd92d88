"""The real parser and builder of tensorrt-rtx, which need no GPU, on the graphs of the tiny bundle."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from asd_edge.engines.build import build_engines, cached_engines, find_builder
from asd_edge.engines.cache import EngineCache
from asd_edge.engines.tensorrt_build import EngineSpec, engine_from_onnx
from asd_edge.engines.tensorrt_module import FLAVOURS, Flavour, TensorRT, find_tensorrt, is_known, look_for
from asd_edge.errors import EngineError
from tests.edge.required import required_module
from tests.edge.tiny_bundle import GOLDEN

GRAPHS = {name: (GOLDEN / f"tiny_{name}.onnx").read_bytes() for name in ("embedder", "stream", "head")}
NOT_A_GRAPH = np.random.default_rng(0).bytes(1000)


@pytest.fixture(scope="module")
def rtx() -> TensorRT:
    required_module("tensorrt_rtx", "tensorrt-rtx")
    return find_tensorrt("tensorrt_rtx")


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_becomes_an_engine_with_its_weights(rtx: TensorRT, name: str) -> None:
    engine = engine_from_onnx(GRAPHS[name], tensorrt=rtx)
    assert len(engine) > 10_000


def test_an_engine_is_built_for_the_shapes_that_are_asked_for(rtx: TensorRT) -> None:
    one = engine_from_onnx(GRAPHS["stream"], EngineSpec(batch=1, frames=1), tensorrt=rtx)
    many = engine_from_onnx(GRAPHS["stream"], EngineSpec(batch=64, frames=64), tensorrt=rtx)
    assert one != many
    with pytest.raises(ValueError, match="0 channels"):
        EngineSpec(batch=0)


def test_what_the_parser_refuses_is_said_in_its_words(rtx: TensorRT) -> None:
    with pytest.raises(EngineError) as refused:
        engine_from_onnx(NOT_A_GRAPH, tensorrt=rtx)
    assert refused.value.what.startswith(f"tensorrt_rtx {rtx.version} cannot parse")
    assert "Failed to parse the ONNX model" in refused.value.found


def test_every_problem_of_a_graph_is_told_with_its_node(rtx: TensorRT) -> None:
    unknown = GRAPHS["stream"].replace(b"\x22\x04Relu", b"\x22\x04Relo")  # op_type, field 4 of a NodeProto
    assert unknown != GRAPHS["stream"]
    with pytest.raises(EngineError) as refused:
        engine_from_onnx(unknown, tensorrt=rtx)
    assert refused.value.found.count("operator: Relo") == 2


def test_a_graph_with_a_free_dimension_that_nobody_bounds_is_refused(rtx: TensorRT) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(GRAPHS["embedder"])
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "bands"
    with pytest.raises(EngineError) as refused:
        engine_from_onnx(model.SerializeToString(), tensorrt=rtx)
    assert "features of the shape [-1, 64, -1]" in refused.value.found


def test_what_is_built_is_kept_and_a_graph_that_fails_stops_no_other(rtx: TensorRT, tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    graphs = {"head.fp32.onnx": NOT_A_GRAPH, "stream.fp32.onnx": GRAPHS["stream"]}
    builder = find_builder()
    head, stream = build_engines(graphs, "fp32", cache, builder=builder)
    assert head.engine is None
    assert head.error is not None
    assert stream.engine is not None
    assert not stream.from_cache
    assert cached_engines(graphs, "fp32", cache, builder=builder) is None

    del graphs["head.fp32.onnx"]
    (again,) = build_engines(graphs, "fp32", cache, builder=builder)
    assert again.from_cache
    assert again.engine == stream.engine
    assert cached_engines(graphs, "fp32", cache, builder=builder) == {"stream.fp32.onnx": stream.engine}
    assert cached_engines(graphs, "int8", cache, builder=builder) is None


def test_where_tensorrt_is_missing_it_says_which_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])  # nothing can be imported that is not loaded
    for flavour in FLAVOURS:
        monkeypatch.delitem(sys.modules, flavour, raising=False)
    monkeypatch.setattr("asd_edge.engines.tensorrt_module.look_for", look_for.__wrapped__)
    with pytest.raises(EngineError) as missing:
        find_tensorrt()
    assert "tensorrt: not installed" in missing.value.found
    assert "tensorrt_rtx: not installed" in missing.value.found
    assert "--system-site-packages" in missing.value.remedy


def test_a_module_without_its_libraries_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    finding = look_for.__wrapped__("tensorrt")
    assert finding.tensorrt is None
    assert "libnvinfer.so.10" in finding.found
    assert finding.remedy is not None


@pytest.mark.parametrize(
    ("flavour", "version", "known"),
    [
        ("tensorrt", "10.3.0", True),  # JetPack 6
        ("tensorrt", "10.13.3.9", True),  # JetPack 7
        ("tensorrt", "11.4.1", True),
        ("tensorrt", "8.6.1", False),
        ("tensorrt", "10.2.0", False),
        ("tensorrt", "12.0", False),
        ("tensorrt", "none", False),
        ("tensorrt_rtx", "1.7.1.116", True),
        ("tensorrt_rtx", "2.0", False),
    ],
)
def test_versions_that_are_not_known_are_not_used(flavour: Flavour, version: str, known: bool) -> None:
    assert is_known(flavour, version) == known
