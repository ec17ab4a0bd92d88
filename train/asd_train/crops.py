"""Random crops of clips, each heard in the context that the device will hear it in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from asd_edge.errors import DataError

from .data.clip import Clip
from .features.corpus import Corpus
from .networks.network import EmbeddingNetwork
from .networks.tf_resnet import TFResNet
from .recipe import Recipe


class Crops:
    """What a network learns from: crops of the recipe's length, with what lies around them.

    A stream network hears its reach on either side of a crop, for that is how it will serve.
    """

    def __init__(self, network: EmbeddingNetwork, recipe: Recipe) -> None:
        self._network = network
        self._context = network.reach if recipe.embedder == "stream" and isinstance(network, TFResNet) else 0
        self._frames = recipe.training.crop_frames + 2 * self._context

    def check(self, clips: Sequence[Clip], corpus: Corpus) -> None:
        """Raise DataError if a clip is shorter than a crop with its context."""
        for clip, length in zip(clips, corpus.lengths.tolist(), strict=True):
            if length < self._frames:
                raise DataError(
                    f"The training clip {clip.path.name} is too short",
                    found=f"{length} frames",
                    expected=f"at least {self._frames} frames: a training crop and the context it is heard in",
                    remedy="Remove it from the data set or record a longer one.",
                )

    def cut(self, corpus: Corpus, clips: NDArray[np.int64], generator: np.random.Generator) -> Tensor:
        """Cut one crop at a random position from each of these clips. [batch, context + frames + context, bands]."""
        starts = generator.integers(0, corpus.lengths[clips] - self._frames + 1)
        return corpus.cut(clips, starts, self._frames)

    def embed(self, crops: Tensor) -> Tensor:
        """Embed crops as `cut` makes them -> [batch, dims]."""
        embeddings: Tensor = self._network(crops, context=self._context) if self._context else self._network(crops)
        return embeddings
