"""Random crops of clips, each heard in the context that the device will hear it in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asd_edge.errors import DataError

from .data.clip import Clip
from .networks.network import EmbeddingNetwork
from .networks.tf_resnet import TFResNet
from .recipe import Recipe

Features = NDArray[np.float32]
"""The frames of one clip, float32 [frames, bands]."""


class Crops:
    """What a network learns from: crops of the recipe's length, with what lies around them.

    A stream network hears its reach on either side of a crop, for that is how it will serve.
    """

    def __init__(self, network: EmbeddingNetwork, recipe: Recipe) -> None:
        self._network = network
        self._context = network.reach if recipe.embedder == "stream" and isinstance(network, TFResNet) else 0
        self._frames = recipe.training.crop_frames + 2 * self._context

    def check(self, clips: Sequence[Clip], features: Sequence[Features]) -> None:
        """Raise DataError if a clip is shorter than a crop with its context."""
        for clip, rows in zip(clips, features, strict=True):
            if len(rows) < self._frames:
                raise DataError(
                    f"The training clip {clip.path.name} is too short",
                    found=f"{len(rows)} frames",
                    expected=f"at least {self._frames} frames: a training crop and the context it is heard in",
                    remedy="Remove it from the data set or record a longer one.",
                )

    def cut(self, clips: Sequence[Features], generator: np.random.Generator) -> Tensor:
        """Cut one crop at a random position from each clip. [batch, context + frames + context, bands]."""
        starts = [int(generator.integers(0, len(clip) - self._frames + 1)) for clip in clips]
        crops = [clip[start : start + self._frames] for clip, start in zip(clips, starts, strict=True)]
        return torch.from_numpy(np.stack(crops))

    def embed(self, crops: Tensor) -> Tensor:
        """Embed crops as `cut` makes them -> [batch, dims]."""
        embeddings: Tensor = self._network(crops, context=self._context) if self._context else self._network(crops)
        return embeddings
