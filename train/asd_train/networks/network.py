"""What training, runs and evaluation ask of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn


class EmbeddingNetwork(nn.Module, ABC):
    """Segments in, one vector each out: what backends see, whatever it means.

    Attributes:
        bands: features of a frame.
        dims: length of the vector.
        hears_spectrum: whether `forward` takes the magnitude spectrum of the segment's samples too.
    """

    bands: int
    dims: int
    hears_spectrum: ClassVar[bool] = False

    @property
    def embedding_dims(self) -> int:
        """How many numbers of the vector, from the first on, class losses see."""
        return self.dims

    @property
    def hidden_layers(self) -> Sequence[nn.Module]:
        """Layers whose input manifold mixup may mix; none where it is not for this network."""
        return ()

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Segments, float32 [batch, frames, bands] -> float32 [batch, dims]."""
