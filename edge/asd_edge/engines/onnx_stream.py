"""The onnxruntime engine for stream graphs: frames of many channels in, with what the network remembers of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.engines.embedder import LARGEST_BATCH, FrameFeatures, Pasts
from asd_edge.engines.onnx_session import first_line, fixed_dims, open_session, run
from asd_edge.errors import EngineError


@dataclass(frozen=True, slots=True)
class PastTensor:
    """One array of a network's memory: its names as input and output, its shape without the channels' dimension."""

    input: str
    output: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StreamTensors:
    """Names of a stream graph's tensors, and of those of the head that makes embeddings; from the manifest."""

    features: str
    frame_features: str
    logits: str
    pasts: Sequence[PastTensor]
    mean: str
    variance: str
    embedding: str


class OnnxStreamEmbedder:
    """Two ONNX graphs on the CPU: the stream graph with its memory as inputs and outputs, and the head.

    Args:
        stream: the serialised stream graph.
        head: the serialised head.
        tensors: names and shapes, from the manifest.
        bands: features of a frame.
        pooled_shape: (bands, heads, depth) of what the network gives for a frame.
        reach: frames of context on either side.
        threads: intra-op threads.

    Raises:
        EngineError: onnxruntime cannot load a graph, its tensors are not those named, or they do not fit together.
    """

    def __init__(
        self,
        stream: bytes,
        head: bytes,
        *,
        tensors: StreamTensors,
        bands: int,
        pooled_shape: tuple[int, int, int],
        reach: int,
        threads: int = 1,
    ) -> None:
        self._tensors = tensors
        self._reach = reach
        self._outputs = [tensors.frame_features, tensors.logits, *(past.output for past in tensors.pasts)]
        inputs = [tensors.features, *(past.input for past in tensors.pasts)]
        self._stream = open_session(stream, inputs=inputs, outputs=self._outputs, threads=threads, arena=True)
        self._head = open_session(
            head, inputs=[tensors.mean, tensors.variance], outputs=[tensors.embedding], threads=threads, arena=True
        )
        self._dims = fixed_dims(self._head, tensors.embedding)
        self._pooled_shape = pooled_shape
        self._probe(bands)

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self._dims

    @property
    def reach(self) -> int:
        """Frames of context that a frame needs on either side."""
        return self._reach

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """(bands, heads, depth) of what the network gives for a frame."""
        return self._pooled_shape

    def _probe(self, bands: int) -> None:
        """Run one frame of one channel through both graphs: their shapes are the manifest's word against theirs."""
        pooled_bands, heads, depth = self._pooled_shape
        try:
            pasts = [past[None] for past in self.initial_pasts()]
            heard, following = self.advance(np.zeros((1, 1, bands), np.float32), pasts)
            found = [array.shape for array in (heard.features, heard.logits, *following)]
            expected = [(1, 1, pooled_bands, depth), (1, 1, pooled_bands, heads), *(past.shape for past in pasts)]
            if found != expected:
                raise ValueError(f"outputs of the shapes {found} where {expected} are due")
            moments = np.zeros((1, *self._pooled_shape), np.float32)
            self.embed(moments, moments)
        except Exception as error:  # onnxruntime raises half a dozen unrelated classes
            raise EngineError(
                "The stream graph and its head do not fit together as the manifest says",
                found=first_line(error),
                expected="shapes as in the manifest",
                remedy="Export the bundle again.",
            ) from error

    def initial_pasts(self) -> Pasts:
        """Return the memory of a channel that has heard nothing: zeros."""
        return [np.zeros(past.shape, np.float32) for past in self._tensors.pasts]

    def advance(self, features: NDArray[np.float32], pasts: Pasts) -> tuple[FrameFeatures, Pasts]:
        """Continue channels with new frames. float32 [channels, frames, bands] -> frame features, next pasts."""
        names = (past.input for past in self._tensors.pasts)
        given = {self._tensors.features: features} | dict(zip(names, pasts, strict=True))
        frame_features, logits, *following = run(self._stream, self._outputs, given)
        return FrameFeatures(frame_features, logits), following

    def embed(self, mean: NDArray[np.float32], variance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed segments from their moments, float32 [segments, pooled bands, heads, depth] each."""
        if len(mean) == 0:
            return np.empty((0, self._dims), np.float32)
        mean_name, variance_name = self._tensors.mean, self._tensors.variance
        parts = []
        for start in range(0, len(mean), LARGEST_BATCH):
            some = slice(start, start + LARGEST_BATCH)
            given = {mean_name: mean[some], variance_name: variance[some]}
            parts.append(run(self._head, [self._tensors.embedding], given)[0])
        return np.concatenate(parts) if len(parts) > 1 else np.asarray(parts[0])
