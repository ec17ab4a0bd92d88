"""The torch network behind the device's Embedder protocol: for evaluation, never for shipping."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.pipeline import Pipeline

from .networks.tf_resnet import TFResNet
from .run import Run

_BATCH = 64


class TorchEmbedder:
    """Embeds segments with a trained network in evaluation mode."""

    def __init__(self, network: TFResNet) -> None:
        self._network = network.eval()

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self._network.dims

    def embed(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed a batch of segments. float32 [segments, frames, bands] -> float32 [segments, dims]."""
        if len(features) == 0:
            return np.empty((0, self.dims), dtype=np.float32)
        with torch.inference_mode():
            parts = [self._network(part) for part in torch.split(torch.from_numpy(features), _BATCH)]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def torch_pipeline(run: Run) -> Pipeline:
    """Return the run's pipeline with the network as trained."""
    recipe = run.recipe
    return Pipeline(
        front_end=recipe.front_end,
        segment=recipe.segment,
        window=recipe.window,
        aggregation=recipe.aggregation,
        embedder=TorchEmbedder(run.network),
    )
