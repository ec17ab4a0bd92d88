"""What training, runs and evaluation ask of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .standardise import Standardise


class EmbeddingNetwork(nn.Module, ABC):
    """Log-mel segments in, embeddings of unit length out.

    Attributes:
        bands: mel bands of a segment.
        dims: length of an embedding.
        standardise: the first layer; training fits it before the first step.
    """

    bands: int
    dims: int
    standardise: Standardise

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Log-mel segments, float32 [batch, frames, bands] -> embeddings of unit length, float32 [batch, dims]."""
