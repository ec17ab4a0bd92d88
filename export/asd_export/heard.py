"""What graphs are fed with when they hear sound: the inputs of every run, as the device's own code makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.graphs import Graphs, SegmentGraph, StreamGraph
from asd_edge.bundle.variants import Kind
from asd_edge.engines.embedder import Embedder, FrameFeatures, Pasts, StreamEmbedder
from asd_edge.pipeline import Pipeline
from asd_train.commission import embed_clips
from asd_train.data.clip import Clip
from asd_train.progress import Progress

Feed = dict[str, NDArray[Any]]
"""The inputs of one run of a graph, by name."""

Array = NDArray[np.float32]


@dataclass
class _Segments:
    """An embedder of whole segments that keeps what it is given."""

    inner: Embedder
    graph: SegmentGraph
    segment: list[Feed] = field(default_factory=list)

    @property
    def dims(self) -> int:
        return self.inner.dims

    def embed(self, features: Array, spectra: Array | None = None) -> Array:
        if len(features):
            feed = {self.graph.input.name: features}
            if spectra is not None and self.graph.spectrum is not None:
                feed[self.graph.spectrum.name] = spectra
            self.segment.append({name: array.copy() for name, array in feed.items()})
        return self.inner.embed(features, spectra)


@dataclass
class _Stream:
    """A stream embedder that keeps what its two graphs are given."""

    inner: StreamEmbedder
    graph: StreamGraph
    stream: list[Feed] = field(default_factory=list)
    head: list[Feed] = field(default_factory=list)

    @property
    def dims(self) -> int:
        return self.inner.dims

    @property
    def reach(self) -> int:
        return self.inner.reach

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        return self.inner.pooled_shape

    def initial_pasts(self) -> Pasts:
        return self.inner.initial_pasts()

    def advance(self, features: Array, pasts: Pasts) -> tuple[FrameFeatures, Pasts]:
        tensors = self.graph.tensors
        names = [tensors.features, *(past.input for past in tensors.pasts)]
        self.stream.append({name: array.copy() for name, array in zip(names, [features, *pasts], strict=True)})
        return self.inner.advance(features, pasts)

    def embed(self, mean: Array, variance: Array) -> Array:
        if len(mean):
            tensors = self.graph.tensors
            self.head.append({tensors.mean: mean.copy(), tensors.variance: variance.copy()})
        return self.inner.embed(mean, variance)


def feeds_of(
    graphs: Graphs, kind: Kind, pipeline: Pipeline, clips: Sequence[Clip], *, channel: int | None
) -> dict[str, list[Feed]]:
    """Return what each graph of a kind is fed with while it hears these clips: `segment`, or `stream` and `head`.

    Args:
        graphs: names of the tensors.
        kind: of the pipeline's embedder.
        pipeline: with the fp32 graphs.
        clips: to hear.
        channel: of multi-channel clips.

    Raises:
        SourceError: a clip cannot be read or is too short.
    """
    embedder: _Segments | _Stream
    if kind == "segment":
        assert graphs.segment is not None
        assert not isinstance(pipeline.embedder, StreamEmbedder)
        embedder = _Segments(pipeline.embedder, graphs.segment)
    else:
        assert graphs.stream is not None
        assert isinstance(pipeline.embedder, StreamEmbedder)
        embedder = _Stream(pipeline.embedder, graphs.stream)
    listening = replace(pipeline, embedder=embedder)
    embed_clips(listening, clips, channel=channel, what=f"hearing for {kind} graphs", progress=Progress(enabled=False))
    if isinstance(embedder, _Segments):
        return {"segment": embedder.segment}
    return {"stream": embedder.stream, "head": embedder.head}


def spread(clips: Sequence[Clip], held_out: Sequence[str], most: int) -> list[Clip]:
    """Choose some training normals: of every machine and section in turn, held-out ones first, in a fixed order."""
    kept = set(held_out)
    units: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: (clip.key not in kept, clip.key)):
        if clip.split == "train" and clip.anomalous is False:
            units.setdefault(clip.unit, []).append(clip)
    turns = max((len(members) for members in units.values()), default=0)
    chosen = [members[turn] for turn in range(turns) for _, members in sorted(units.items()) if turn < len(members)]
    return chosen[:most]
