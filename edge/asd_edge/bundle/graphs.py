"""What a manifest says of the graphs: names and shapes of every tensor that an engine must know (docs/bundle.md)."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from asd_edge.engines.onnx_stream import PastTensor, StreamTensors
from asd_edge.strict import Count, Sparing, Strict, Text

_MOST_PAST = 1 << 22  # numbers that a network may remember of one channel: 16 MiB


class Tensor(Strict):
    """A tensor of a graph: its name and shape, -1 where it is not fixed."""

    name: Text
    shape: Annotated[tuple[int, ...], Field(min_length=1, max_length=8)]


class SegmentGraph(Sparing):
    """A graph that embeds whole segments: features [-1, frames, bands] -> embeddings [-1, dims].

    `spectrum`: the second input, the segments' spectra [-1, bins], where the graph has one.
    """

    input: Tensor
    output: Tensor
    opset: Count
    spectrum: Tensor | None = None

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self.output.shape[-1]

    def check(self, *, frames: int, bands: int, bins: int | None, dims: int) -> None:
        """Raise ValueError where shapes contradict the rest of the manifest; `bins` of a spectrum, if there is one."""
        _expect("graphs.segment.input", self.input.shape, (-1, frames, bands))
        if (self.spectrum is None) != (bins is None):
            raise ValueError("segment.spectrum without a graph that hears it, or such a graph without segment.spectrum")
        if self.spectrum is not None and bins is not None:
            _expect("graphs.segment.spectrum", self.spectrum.shape, (-1, bins))
        _expect("graphs.segment.output", self.output.shape, (-1, dims))


class Past(Strict):
    """What one convolution remembers: the tensor that goes in, and the name under which its successor comes out."""

    input: Tensor
    output: Text


class StreamGraph(Strict):
    """A graph that runs with the sound, and the head that embeds segments pooled from what it gives.

    `reach`: frames of context that a frame needs on either side.
    """

    features: Tensor
    frame_features: Tensor
    logits: Tensor
    pasts: Annotated[tuple[Past, ...], Field(max_length=256)]
    mean: Tensor
    variance: Tensor
    output: Tensor
    reach: Annotated[int, Field(ge=0, le=4096)]
    opset: Count

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self.output.shape[-1]

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """(bands, heads, depth) of what the network gives for a frame."""
        _, bands, heads, depth = self.mean.shape
        return bands, heads, depth

    @property
    def tensors(self) -> StreamTensors:
        """The names that the engine is called with."""
        pasts = tuple(PastTensor(past.input.name, past.output, past.input.shape[1:]) for past in self.pasts)
        return StreamTensors(
            features=self.features.name,
            frame_features=self.frame_features.name,
            logits=self.logits.name,
            pasts=pasts,
            mean=self.mean.name,
            variance=self.variance.name,
            embedding=self.output.name,
        )

    @classmethod
    def of(
        cls, tensors: StreamTensors, *, bands: int, pooled: tuple[int, int, int], dims: int, reach: int, opset: int
    ) -> StreamGraph:
        """Return a stream graph as it stands in a manifest; `pooled`: (bands, heads, depth) behind the network."""
        pooled_bands, heads, depth = pooled
        moments = (-1, pooled_bands, heads, depth)
        pasts = tuple(
            Past(input=Tensor(name=past.input, shape=(-1, *past.shape)), output=past.output) for past in tensors.pasts
        )
        return cls(
            features=Tensor(name=tensors.features, shape=(-1, -1, bands)),
            frame_features=Tensor(name=tensors.frame_features, shape=(-1, -1, pooled_bands, depth)),
            logits=Tensor(name=tensors.logits, shape=(-1, -1, pooled_bands, heads)),
            pasts=pasts,
            mean=Tensor(name=tensors.mean, shape=moments),
            variance=Tensor(name=tensors.variance, shape=moments),
            output=Tensor(name=tensors.embedding, shape=(-1, dims)),
            reach=reach,
            opset=opset,
        )

    def check(self, *, bands: int, dims: int) -> None:
        """Raise ValueError where shapes contradict each other or the rest of the manifest."""
        _expect("graphs.stream.features", self.features.shape, (-1, -1, bands))
        _expect("graphs.stream.output", self.output.shape, (-1, dims))
        moments = self.mean.shape
        if len(moments) != 4 or moments[0] != -1 or min(moments[1:]) < 1:
            raise ValueError(f"graphs.stream.mean.shape {list(moments)}, which is not [-1, bands, heads, depth]")
        _, pooled_bands, heads, depth = moments
        _expect("graphs.stream.variance", self.variance.shape, moments)
        _expect("graphs.stream.frame_features", self.frame_features.shape, (-1, -1, pooled_bands, depth))
        _expect("graphs.stream.logits", self.logits.shape, (-1, -1, pooled_bands, heads))
        for past in self.pasts:
            shape = past.input.shape
            if len(shape) < 2 or shape[0] != -1 or min(shape[1:]) < 1:
                raise ValueError(f"a past of the shape {list(shape)}, which is not [-1, ...]")
        size = sum(math.prod(past.input.shape[1:]) for past in self.pasts)
        if size > _MOST_PAST:
            raise ValueError(f"{size} numbers to remember of a channel, more than {_MOST_PAST}")


class Graphs(Strict):
    """The graphs in a bundle; a network that strides in time has no stream graph."""

    segment: SegmentGraph | None
    stream: StreamGraph | None


def _expect(what: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected or min(expected) < -1 or 0 in expected:
        raise ValueError(f"{what}.shape {list(found)} where {list(expected)} is due")
