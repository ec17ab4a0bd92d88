"""Engines run where there is a GPU, and are held to what onnxruntime makes of the same graphs.

The graphs are those of the bundle that is shipped, with its golden segments, and small ones with noise. On a machine
without a GPU all of this is skipped.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.embedder import AnyEmbedder, load_engines
from asd_edge.engines.build import build_engines
from asd_edge.engines.cache import EngineCache
from asd_edge.engines.embedder import Pasts, StreamEmbedder
from asd_edge.engines.tensorrt import TensorRTEmbedder, TensorRTStreamEmbedder
from asd_edge.engines.tensorrt_build import EngineSpec, engine_from_onnx
from asd_edge.engines.tensorrt_engine import TensorRTEngine
from asd_edge.engines.tensorrt_module import find_tensorrt
from asd_edge.errors import EngineError
from asd_edge.serving.verify import LIMITS, verify
from tests.edge.required import required_gpu
from tests.edge.tiny_bundle import GOLDEN, SEGMENT

VARIANTS = [(variant.kind, variant.precision) for variant in load_bundle("default").manifest.variants]


@pytest.fixture(scope="module", autouse=True)
def _gpu() -> None:
    required_gpu()
    try:
        find_tensorrt()
    except EngineError as error:
        pytest.skip(f"a GPU without TensorRT: {error.found}")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> EngineCache:
    return EngineCache(tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: "-".join(variant))
def variant(request: pytest.FixtureRequest) -> Bundle:
    kind, precision = request.param
    return load_bundle("default").at(precision, kind)


@pytest.fixture(scope="module")
def both(variant: Bundle, cache: EngineCache) -> tuple[AnyEmbedder, AnyEmbedder]:
    """The variant on onnxruntime, and on TensorRT."""
    graphs = {name: variant.graphs[name] for name in variant.variant.members}
    built = list(build_engines(graphs, variant.precision, cache))
    assert [outcome.error for outcome in built] == [None] * len(graphs)
    engines = {outcome.member: outcome.engine for outcome in built if outcome.engine is not None}
    loaded = load_engines(variant.manifest.graphs, engines, variant.kind, variant.precision)
    return variant.pipeline().embedder, loaded


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(-45.0, 12.0, shape).astype(np.float32)


def channels_of(variant: Bundle, count: int) -> NDArray[np.float32]:
    """Golden segments for as many channels, each begun at another frame: float32 [channels, frames, bands]."""
    golden = variant.golden.features
    return np.stack([np.roll(golden[i % len(golden)], 7 * i, axis=0) for i in range(count)])


def distance(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Return the largest cosine distance of rows, however they are shaped."""
    a, b = (x.astype(np.float64).reshape(len(x), -1) for x in (ours, theirs))
    return float(np.max(1.0 - (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))))


def stacked(embedder: StreamEmbedder, channels: int) -> Pasts:
    return [np.repeat(past[None], channels, axis=0) for past in embedder.initial_pasts()]


def test_an_engine_passes_the_parity_gate(both: tuple[AnyEmbedder, AnyEmbedder], variant: Bundle) -> None:
    verdict = verify(variant, replace(variant.pipeline(), embedder=both[1]))
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize(("channels", "steps"), [(1, (1, 6, 6, 40)), (4, (6, 6, 32)), (19, (6, 70))])
def test_a_stream_goes_through_the_gpu_as_through_onnxruntime_in_any_steps(
    both: tuple[AnyEmbedder, AnyEmbedder], variant: Bundle, channels: int, steps: tuple[int, ...]
) -> None:
    cpu, gpu = both
    if not isinstance(cpu, StreamEmbedder) or not isinstance(gpu, StreamEmbedder):
        pytest.skip("a segment graph")
    assert (gpu.dims, gpu.reach, gpu.pooled_shape) == (cpu.dims, cpu.reach, cpu.pooled_shape)
    assert [(p.shape, p.dtype) for p in gpu.initial_pasts()] == [(p.shape, p.dtype) for p in cpu.initial_pasts()]
    sound, limit = channels_of(variant, channels), LIMITS[variant.precision]
    pasts, pasts_gpu, start = stacked(cpu, channels), stacked(gpu, channels), 0
    for frames in steps:  # the last one of each is more than a run takes
        features = sound[:, start : start + frames]
        heard, pasts = cpu.advance(features, pasts)
        heard_gpu, pasts_gpu = gpu.advance(features, pasts_gpu)
        assert heard_gpu.features.shape == heard.features.shape
        assert heard_gpu.logits.shape == heard.logits.shape
        assert [past.shape for past in pasts_gpu] == [past.shape for past in pasts]
        start += frames
    assert distance(heard_gpu.features, heard.features) <= limit
    mean, variance = (
        np.repeat(moment[:, :, None], cpu.pooled_shape[1], axis=2)
        for moment in (heard.features.mean(axis=1), heard.features.var(axis=1))
    )
    assert distance(gpu.embed(mean, variance), cpu.embed(mean, variance)) <= limit
    assert gpu.embed(mean[:0], variance[:0]).shape == (0, gpu.dims)


def test_a_small_segment_graph_gives_the_same_in_every_batch() -> None:
    graph = (GOLDEN / "tiny_embedder.onnx").read_bytes()
    engine = engine_from_onnx(graph, EngineSpec(batch=3))
    gpu = TensorRTEmbedder(engine, input_name=SEGMENT.input.name, output_name=SEGMENT.output.name)
    features = noise(8, 64, 128)
    whole = gpu.embed(features)
    alone = np.concatenate([gpu.embed(features[row : row + 1]) for row in range(8)])
    assert whole.shape == (8, gpu.dims)
    np.testing.assert_allclose(whole, alone, rtol=1e-4, atol=1e-4)  # kernels may add up in another order
    assert gpu.embed(features[:0]).shape == (0, gpu.dims)


def test_an_array_of_another_type_or_shape_is_refused_and_the_engine_goes_on() -> None:
    engine = engine_from_onnx((GOLDEN / "tiny_embedder.onnx").read_bytes(), EngineSpec(batch=3))
    loaded = TensorRTEngine(engine, inputs=["features"], outputs=["embedding"])
    before = loaded.run({"features": noise(2, 64, 128)})["embedding"]
    with pytest.raises(ValueError, match="float64"):
        loaded.run({"features": np.zeros((1, 64, 128))})
    with pytest.raises(EngineError, match="of the shape"):
        loaded.run({"features": noise(4, 64, 128)})
    np.testing.assert_array_equal(loaded.run({"features": noise(2, 64, 128)})["embedding"], before)


def test_engines_of_other_tensors_and_spoiled_ones_are_refused() -> None:
    engine = engine_from_onnx((GOLDEN / "tiny_embedder.onnx").read_bytes())
    with pytest.raises(EngineError, match="does not have the tensors"):
        TensorRTEngine(engine, inputs=["sound"], outputs=["embedding"])
    with pytest.raises(EngineError, match="cannot load the engine"):
        TensorRTEngine(b"not an engine" * 100, inputs=["features"], outputs=["embedding"])


def test_another_thread_may_run_it() -> None:
    engine = engine_from_onnx((GOLDEN / "tiny_embedder.onnx").read_bytes())
    gpu = TensorRTEmbedder(engine, input_name="features", output_name="embedding")
    sounds = [noise(2, 64, 128, seed=seed) for seed in range(16)]
    expected = [gpu.embed(sound) for sound in sounds]
    with ThreadPoolExecutor(4) as pool:
        for ours, theirs in zip(pool.map(gpu.embed, sounds), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_engines_that_do_not_fit_the_manifest_are_refused(variant: Bundle, cache: EngineCache) -> None:
    if variant.kind != "stream":
        pytest.skip("a segment graph")
    members = variant.variant.members
    built = {
        b.member: b.engine for b in build_engines({n: variant.graphs[n] for n in members}, variant.precision, cache)
    }
    stream, head = (built[name] for name in members)
    assert stream is not None
    assert head is not None
    graph = variant.manifest.graphs.stream
    assert graph is not None
    bands, heads, depth = graph.pooled_shape
    with pytest.raises(EngineError, match="not as its manifest says"):
        TensorRTStreamEmbedder(
            stream, head, tensors=graph.tensors, bands=1, pooled_shape=(bands, heads, depth), reach=graph.reach
        )
