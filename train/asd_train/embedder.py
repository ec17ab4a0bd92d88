"""Torch networks behind the device's engine protocols: for evaluation, never for shipping."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.engines.embedder import Embedder, FrameFeatures, Pasts, StreamEmbedder
from asd_edge.pipeline import Pipeline

from .networks.network import EmbeddingNetwork
from .networks.tf_resnet import TFResNet
from .networks.tf_resnet_stream import PooledHead, StreamTFResNet
from .recipe import Recipe
from .run import Run

_BATCH = 64


class TorchEmbedder:
    """Embeds segments with a trained network in evaluation mode."""

    def __init__(self, network: EmbeddingNetwork) -> None:
        self._network = network.eval()

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self._network.dims

    def embed(self, features: NDArray[np.float32], spectra: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Embed a batch of segments.

        float32 [segments, frames, bands], and [segments, bins] if the network hears them -> float32 [segments, dims].
        """
        if len(features) == 0:
            return np.empty((0, self.dims), dtype=np.float32)
        inputs = (features,) if spectra is None else (features, spectra)
        batches = zip(*(torch.split(torch.from_numpy(given), _BATCH) for given in inputs), strict=True)
        with torch.inference_mode():
            parts = [self._network(*batch) for batch in batches]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


class TorchStreamEmbedder:
    """Runs a trained network with the sound.

    Raises:
        ValueError: a network that cannot be computed frame by frame.
    """

    def __init__(self, network: TFResNet) -> None:
        self._stream = StreamTFResNet(network.eval())
        self._head = PooledHead(network)
        self._network = network

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self._network.dims

    @property
    def reach(self) -> int:
        """Frames of context that a frame needs on either side."""
        return self._stream.reach

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """(bands, heads, depth) of what the network gives for a frame."""
        return self._stream.pooled_shape

    def initial_pasts(self) -> Pasts:
        """Return the memory of a channel that has heard nothing: zeros."""
        return [np.zeros(shape, np.float32) for shape in self._stream.state_shapes]

    def advance(self, features: NDArray[np.float32], pasts: Pasts) -> tuple[FrameFeatures, Pasts]:
        """Continue channels with new frames. float32 [channels, frames, bands] -> frame features, next pasts."""
        with torch.inference_mode():
            given = [torch.from_numpy(np.ascontiguousarray(array)) for array in (features, *pasts)]
            frame_features, logits, *following = (tensor.numpy() for tensor in self._stream(*given))
        return FrameFeatures(frame_features, logits), following

    def embed(self, mean: NDArray[np.float32], variance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed segments from their moments, float32 [segments, pooled bands, heads, depth] each."""
        with torch.inference_mode():
            embeddings = self._head(torch.from_numpy(mean), torch.from_numpy(variance))
        return np.asarray(embeddings.numpy(), dtype=np.float32)


def torch_pipeline(run: Run, recipe: Recipe | None = None) -> Pipeline:
    """Return the run's pipeline with the network as trained, whole segments or with the sound as the recipe says.

    `recipe`: the run's as it is for one machine, where machines are treated differently.
    """
    recipe = recipe or run.recipe
    return Pipeline(
        front_end=recipe.front_end,
        segment=recipe.segment,
        window=recipe.window,
        aggregation=recipe.aggregation,
        embedder=_embedder(run),
    )


def _embedder(run: Run) -> Embedder | StreamEmbedder:
    if run.recipe.embedder == "segment":
        return TorchEmbedder(run.network)
    assert isinstance(run.network, TFResNet)  # the recipe refuses any other
    return TorchStreamEmbedder(run.network)
