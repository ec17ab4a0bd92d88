"""The protocols that engines serve: for networks that want whole segments, and for those that run with the sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

LARGEST_BATCH, LARGEST_STEP = 16, 32
"""Segments or channels, and frames, of one run of a graph: they bound its memory, and more go in several runs."""

Precision = Literal["fp32", "fp16", "int8"]
"""What a graph computes in, for the most part."""

Pasts = Sequence[NDArray[np.float32]]
"""What a network remembers of its channels: one array a convolution, [channels, ...] each."""


class Embedder(Protocol):
    """Turns segments into embeddings."""

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        ...

    def embed(self, features: NDArray[np.float32], spectra: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Embed a batch of segments.

        Args:
            features: float32 [segments, frames, bands].
            spectra: of the same segments, float32 [segments, bins], for a network that hears them; else None.

        Returns:
            float32 [segments, dims]; zero segments give an array of shape [0, dims].
        """
        ...


@dataclass(frozen=True, slots=True)
class FrameFeatures:
    """What a network makes of the frames of some channels.

    `features`: float32 [channels, frames, pooled bands, depth]. `logits`: of the attention, float32
    [channels, frames, pooled bands, heads].
    """

    features: NDArray[np.float32]
    logits: NDArray[np.float32]


@runtime_checkable
class StreamEmbedder(Protocol):
    """Runs with the sound: every frame goes through the network once, and segments are pooled from what it gave."""

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        ...

    @property
    def reach(self) -> int:
        """Frames of context that a frame needs on either side. The outputs lag by as many."""
        ...

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """(bands, heads, depth) of what the network gives for a frame."""
        ...

    def initial_pasts(self) -> Pasts:
        """Return the memory of a channel that has heard nothing, without the channels' dimension."""
        ...

    def advance(self, features: NDArray[np.float32], pasts: Pasts) -> tuple[FrameFeatures, Pasts]:
        """Continue channels with new frames.

        Args:
            features: float32 [channels, frames, bands].
            pasts: what the call before returned for these channels, or stacked initial pasts.

        Returns:
            Frame features of the frames `reach` before those given, and the pasts for the next call.
        """
        ...

    def embed(self, mean: NDArray[np.float32], variance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed segments from their attention-weighted moments over time.

        float32 [segments, pooled bands, heads, depth] each -> float32 [segments, dims]; zero segments give [0, dims].
        """
        ...
