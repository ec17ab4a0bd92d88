"""From a bundle's graphs to engines in the cache: what `asd-edge engines build` and the daemon's child process call."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter

from asd_edge.engines.cache import EngineCache, EngineKey
from asd_edge.engines.cuda import Gpu, find_gpu
from asd_edge.engines.embedder import Precision
from asd_edge.engines.tensorrt_build import FLAGS, USUAL_SPEC, EngineSpec, engine_from_onnx
from asd_edge.engines.tensorrt_module import TensorRT, find_tensorrt
from asd_edge.errors import EngineError


@dataclass(frozen=True, slots=True)
class Builder:
    """A TensorRT and the GPU that it builds for; None for an engine made ahead of time for all that it knows."""

    tensorrt: TensorRT
    gpu: Gpu | None

    def key(self, graph: bytes, precision: Precision, spec: EngineSpec) -> EngineKey:
        """Return what an engine of this graph is kept under."""
        return EngineKey(
            graph_sha256=hashlib.sha256(graph).hexdigest(),
            precision=precision,
            flavour=self.tensorrt.flavour,
            version=self.tensorrt.version,
            gpu=None if self.gpu is None else self.gpu.name,
            compute_capability=None if self.gpu is None else self.gpu.compute_capability,
            flags=FLAGS,
            batch=spec.batch,
            frames=spec.frames,
            workspace_mib=spec.workspace_mib,
        )


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """What came of one graph. `engine` is None, and `error` says why, where it could not be built.

    `from_cache`: it was there already. `seconds`: that it took.
    """

    member: str
    engine: bytes | None = field(repr=False)
    from_cache: bool
    seconds: float
    error: EngineError | None = None


def find_builder() -> Builder:
    """Return the TensorRT of this machine with its GPU.

    Raises:
        EngineError: there is no TensorRT, or no GPU for one that needs it.
    """
    tensorrt = find_tensorrt()
    try:
        return Builder(tensorrt, find_gpu())
    except EngineError:
        if tensorrt.needs_gpu:
            raise
        return Builder(tensorrt, None)


def build_engines(
    graphs: Mapping[str, bytes],
    precision: Precision,
    cache: EngineCache,
    spec: EngineSpec = USUAL_SPEC,
    *,
    builder: Builder | None = None,
) -> Iterator[BuiltEngine]:
    """Have an engine of every graph in the cache: loaded where it is there, built where it is not.

    It yields as it goes, so that a caller can tell what happens; a graph that fails does not stop the others. It
    holds the interpreter for seconds and up to gigabytes of memory: the daemon calls it in a process of its own.

    Args:
        graphs: serialised ONNX by member of the bundle, those of one variant, checked as the loader checks them.
        precision: of these graphs; it decides nothing (the graphs do), but the cache tells it apart.
        cache: where engines are kept.
        spec: shapes and memory.
        builder: what builds; found without it.

    Raises:
        EngineError: no TensorRT, or no GPU for one that needs it.
        StateError: the cache's folder cannot be written.
    """
    builder = find_builder() if builder is None else builder
    for member, graph in graphs.items():
        start = perf_counter()
        key = builder.key(graph, precision, spec)
        engine = cache.load(key)
        if engine is not None:
            yield BuiltEngine(member, engine, True, perf_counter() - start)
            continue
        try:
            engine = engine_from_onnx(graph, spec, tensorrt=builder.tensorrt)
        except EngineError as error:
            yield BuiltEngine(member, None, False, perf_counter() - start, error)
            continue
        cache.store(key, engine, member=member, build_s=perf_counter() - start)
        yield BuiltEngine(member, engine, False, perf_counter() - start)


def cached_engines(
    graphs: Mapping[str, bytes],
    precision: Precision,
    cache: EngineCache,
    spec: EngineSpec = USUAL_SPEC,
    *,
    builder: Builder | None = None,
) -> dict[str, bytes] | None:
    """Return the engines of all these graphs from the cache; None where one of them must be built first.

    Raises:
        EngineError: no TensorRT, or no GPU for one that needs it.
    """
    builder = find_builder() if builder is None else builder
    found = {member: cache.load(builder.key(graph, precision, spec)) for member, graph in graphs.items()}
    engines = {member: engine for member, engine in found.items() if engine is not None}
    return engines if len(engines) == len(graphs) else None
