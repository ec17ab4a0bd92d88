"""From the graphs in a bundle to what runs them: onnxruntime, or engines that TensorRT built of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from asd_edge.bundle.graphs import Graphs, SegmentGraph, StreamGraph
from asd_edge.bundle.variants import Kind, Precision, members_of
from asd_edge.engines.embedder import Embedder, StreamEmbedder
from asd_edge.engines.onnx import OnnxEmbedder
from asd_edge.engines.onnx_stream import OnnxStreamEmbedder
from asd_edge.errors import EngineError

GraphBytes = Mapping[str, bytes]
"""Serialised ONNX by member of the bundle."""

AnyEmbedder = Embedder | StreamEmbedder


def load_embedder(
    graphs: Graphs, members: GraphBytes, kind: Kind, precision: Precision, *, threads: int = 1
) -> AnyEmbedder:
    """Load one of the networks in a bundle; `threads` run it. A bundle's centres belong to one variant only.

    Raises:
        EngineError: the engine cannot load a graph, or it is not as the manifest says.
        ValueError: there is no graph of this kind.
    """
    given = [members[name] for name in members_of(kind, precision)]
    return _loaded(
        graphs, given, kind, partial(OnnxEmbedder, threads=threads), partial(OnnxStreamEmbedder, threads=threads)
    )


def load_engines(graphs: Graphs, engines: Mapping[str, bytes], kind: Kind, precision: Precision) -> AnyEmbedder:
    """Load what TensorRT built from a variant's graphs, by the member that each was built from.

    Raises:
        EngineError: no TensorRT or GPU, an engine of another version or GPU, or it is not as the manifest says.
        ValueError: there is no graph of this kind.
    """
    from asd_edge.engines.tensorrt import TensorRTEmbedder, TensorRTStreamEmbedder

    given = [engines[name] for name in members_of(kind, precision)]
    return _loaded(graphs, given, kind, TensorRTEmbedder, TensorRTStreamEmbedder)


def _loaded(
    graphs: Graphs,
    given: Sequence[bytes],
    kind: Kind,
    of_segments: Callable[..., Embedder],
    of_streams: Callable[..., StreamEmbedder],
) -> AnyEmbedder:
    """Give an engine's embedder for this kind the names and shapes that the manifest says."""
    graph: SegmentGraph | StreamGraph
    embedder: AnyEmbedder
    if kind == "segment" and graphs.segment is not None:
        graph = graphs.segment
        embedder = of_segments(
            *given,
            input_name=graph.input.name,
            output_name=graph.output.name,
            spectrum_name=None if graph.spectrum is None else graph.spectrum.name,
        )
    elif kind == "stream" and graphs.stream is not None:
        graph = graphs.stream
        embedder = of_streams(
            *given,
            tensors=graph.tensors,
            bands=graph.features.shape[-1],
            pooled_shape=graph.pooled_shape,
            reach=graph.reach,
        )
    else:
        raise ValueError(f"there is no {kind} graph")
    if embedder.dims != graph.dims:
        raise EngineError(
            f"The {kind} graph does not match its manifest",
            found=f"embeddings of {embedder.dims} numbers",
            expected=f"embeddings of {graph.dims} numbers",
            remedy="Export the bundle again.",
        )
    return embedder
