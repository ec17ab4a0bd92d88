"""The build child with the real builder of tensorrt-rtx, which needs no GPU; what it leaves, the daemon finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_edge.bundle.bundle import Bundle
from asd_edge.engines.build import cached_engines, find_builder
from asd_edge.engines.cache import EngineCache
from asd_edge.engines.tensorrt_build import USUAL_SPEC
from asd_edge.engines.tensorrt_module import FLAVOURS, look_for
from asd_edge.serving.build import BuildChild, BuildLimits, Outcome
from asd_edge.serving.tensorrt import TensorRTEngines
from tests.edge.required import required_module
from tests.edge.tiny_bundle import STREAMED, make_tiny_bundle

LIMITS = BuildLimits(120.0, 4 << 30)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_tiny_bundle(tmp_path / "tiny.asd", precisions=("fp32", "fp16"), **STREAMED)


def child(bundle: Bundle, path: Path, folder: Path, limits: BuildLimits = LIMITS) -> Outcome:
    # Without a builder of its own the command is the same: nothing of it is in there.
    engines = TensorRTEngines(builder=None, cache=EngineCache(folder))  # type: ignore[arg-type]
    return BuildChild(limits).run(engines.build_command(bundle, str(path)))


def test_the_child_builds_what_the_daemon_then_finds(bundle: Bundle, tmp_path: Path) -> None:
    required_module("tensorrt_rtx", "tensorrt-rtx")
    view = bundle.at("fp16")
    outcome = child(view, tmp_path / "tiny.asd", tmp_path / "engines")
    assert outcome.error is None
    assert outcome.result["built"] == ["stream.fp16.onnx", "head.fp16.onnx"]

    engines = TensorRTEngines(find_builder(), EngineCache(tmp_path / "engines"))
    graphs = {name: view.graphs[name] for name in view.variant.members}
    found = cached_engines(graphs, "fp16", engines.cache, USUAL_SPEC, builder=engines.builder)
    assert found is not None
    assert set(found) == set(graphs)
    assert engines.load(bundle) is None  # fp32 is not built
    assert engines.key(view) != engines.key(bundle)
    assert len(engines.key(view)) == 32


def test_a_build_beyond_its_memory_is_given_up(bundle: Bundle, tmp_path: Path) -> None:
    required_module("tensorrt_rtx", "tensorrt-rtx")
    outcome = child(bundle, tmp_path / "tiny.asd", tmp_path / "engines", BuildLimits(120.0, 60 << 20))
    assert outcome.error is not None
    assert "60 are allowed (engine.build_memory_mib)" in outcome.error


def test_another_bundle_at_the_same_place_is_not_built(bundle: Bundle, tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "tiny.asd", name="another", **STREAMED)
    outcome = child(bundle, tmp_path / "tiny.asd", tmp_path / "engines")
    assert outcome.error is None
    assert "another one, with the SHA-256" in outcome.result["error"]


@pytest.mark.skipif(any(look_for(flavour).tensorrt for flavour in FLAVOURS), reason="a TensorRT is installed")
def test_a_child_without_tensorrt_says_so(bundle: Bundle, tmp_path: Path) -> None:
    outcome = child(bundle, tmp_path / "tiny.asd", tmp_path / "engines")
    assert outcome.result["error"].startswith("There is no TensorRT to build or run an engine with: ")
