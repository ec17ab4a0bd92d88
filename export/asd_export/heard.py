"""What graphs are fed with when they hear sound: the inputs of every run, as the device's own code makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.embedder import load_embedder
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

Embeds = Callable[[Mapping[str, bytes]], Sequence[Array]]
"""From graphs, by part, to the embeddings of some normals: float32 [segments, dims] for each machine and section."""

_MOST = 64  # feeds: ranges of twice as many are hardly wider, and at full width one of a stream takes a megabyte


class FeedSample:
    """Of all feeds that come, at most so many, each as likely as any other: a stream's pasts are large, and many.

    Algorithm R of Vitter, Random sampling with a reservoir (ACM TOMS, 1985); the same feeds give the same choice.
    """

    def __init__(self, most: int) -> None:
        self.kept: list[Feed] = []
        self._most, self._heard = most, 0
        self._random = np.random.default_rng(0)

    def offer(self, names: Sequence[str], arrays: Sequence[NDArray[Any]]) -> None:
        """Keep a copy of these inputs, or not."""
        self._heard += 1
        place = self._heard - 1 if self._heard <= self._most else int(self._random.integers(self._heard))
        if place < self._most:
            feed = {name: array.copy() for name, array in zip(names, arrays, strict=True)}
            self.kept[place : place + 1] = [feed]


@dataclass
class _Segments:
    """An embedder of whole segments that keeps what it is given."""

    inner: Embedder
    graph: SegmentGraph
    segment: FeedSample

    @property
    def dims(self) -> int:
        return self.inner.dims

    def embed(self, features: Array, spectra: Array | None = None) -> Array:
        if len(features):
            feed = {self.graph.input.name: features}
            if spectra is not None and self.graph.spectrum is not None:
                feed[self.graph.spectrum.name] = spectra
            self.segment.offer(list(feed), list(feed.values()))
        return self.inner.embed(features, spectra)


@dataclass
class _Stream:
    """A stream embedder that keeps what its two graphs are given."""

    inner: StreamEmbedder
    graph: StreamGraph
    stream: FeedSample
    head: FeedSample

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
        self.stream.offer(names, [features, *pasts])
        return self.inner.advance(features, pasts)

    def embed(self, mean: Array, variance: Array) -> Array:
        if len(mean):
            tensors = self.graph.tensors
            self.head.offer([tensors.mean, tensors.variance], [mean, variance])
        return self.inner.embed(mean, variance)


def feeds_of(
    graphs: Graphs, kind: Kind, pipeline: Pipeline, clips: Sequence[Clip], *, channel: int | None, most: int = _MOST
) -> dict[str, list[Feed]]:
    """Return what each graph of a kind is fed with while it hears these clips: `segment`, or `stream` and `head`.

    Args:
        graphs: names of the tensors.
        kind: of the pipeline's embedder.
        pipeline: with the fp32 graphs.
        clips: to hear.
        channel: of multi-channel clips.
        most: feeds of a graph that are kept, chosen at random from more.

    Raises:
        SourceError: a clip cannot be read or is too short.
    """
    embedder: _Segments | _Stream
    if kind == "segment":
        assert graphs.segment is not None
        assert not isinstance(pipeline.embedder, StreamEmbedder)
        embedder = _Segments(pipeline.embedder, graphs.segment, FeedSample(most))
    else:
        assert graphs.stream is not None
        assert isinstance(pipeline.embedder, StreamEmbedder)
        embedder = _Stream(pipeline.embedder, graphs.stream, FeedSample(most), FeedSample(most))
    listening = replace(pipeline, embedder=embedder)
    embed_clips(listening, clips, channel=channel, what=f"hearing for {kind} graphs", progress=Progress(enabled=False))
    if isinstance(embedder, _Segments):
        return {"segment": embedder.segment.kept}
    return {"stream": embedder.stream.kept, "head": embedder.head.kept}


def embeds_of(graphs: Graphs, kind: Kind, pipeline: Pipeline, clips: Sequence[Clip], *, channel: int | None) -> Embeds:
    """Return what embeds these clips with any int8 graphs of a kind as a device does."""

    def embeds(parts: Mapping[str, bytes]) -> list[Array]:
        members = {f"{part}.int8.onnx": graph for part, graph in parts.items()}
        listening = replace(pipeline, embedder=load_embedder(graphs, members, kind, "int8"))
        heard = embed_clips(listening, clips, channel=channel, what=f"int8 {kind}", progress=Progress(enabled=False))
        units: dict[str, list[Array]] = {}
        for clip, embedded in heard.items():
            units.setdefault(clip.unit, []).append(embedded.segments.embeddings)
        return [np.concatenate(embeddings) for embeddings in units.values()]

    return embeds


def spread(clips: Sequence[Clip], held_out: Sequence[str], most: int) -> list[Clip]:
    """Choose some training normals: of every machine and section in turn, held-out ones first, in a fixed order."""
    kept = set(held_out)
    first = sorted(clips, key=lambda clip: (clip.key not in kept, clip.key))
    return _in_turn([(clip.unit, clip) for clip in first], most)


def learned(clips: Sequence[Clip], held_out: Sequence[str], most: int) -> list[Clip]:
    """Choose some normals that training saw: of every domain of every machine and section in turn, in a fixed order.

    Held-out ones set thresholds; ranges that fit just them would flatter an int8 graph.
    """
    seen = sorted((clip for clip in clips if clip.key not in set(held_out)), key=lambda clip: clip.key)
    return _in_turn([(f"{clip.unit}/{clip.domain}", clip) for clip in seen], most)


def _in_turn(labelled: Sequence[tuple[str, Clip]], most: int) -> list[Clip]:
    """Choose training normals of each label in turn."""
    groups: dict[str, list[Clip]] = {}
    for label, clip in labelled:
        if clip.split == "train" and clip.anomalous is False:
            groups.setdefault(label, []).append(clip)
    turns = zip_longest(*(members for _, members in sorted(groups.items())))
    return [clip for turn in turns for clip in turn if clip is not None][:most]
