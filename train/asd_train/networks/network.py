"""What training, runs and evaluation ask of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from .standardise import Standardise


class EmbeddingNetwork(nn.Module, ABC):
    """Segments in, embeddings out.

    Attributes:
        bands: features of a frame.
        dims: length of an embedding.
        hears_spectrum: whether `forward` takes the magnitude spectrum of the segment's samples as a second input.
    """

    bands: int
    dims: int
    hears_spectrum: bool = False

    # Networks have one input or two, which no one signature says: each states its own.
    @abstractmethod
    def forward(self, *inputs: Any, **options: Any) -> Tensor:
        """Embed segments.

        Args:
            inputs: features, float32 [batch, frames, bands]; with `hears_spectrum` also spectra, float32 [batch, bins].
            options: of a network's own, which have defaults.

        Returns:
            float32 [batch, dims].
        """

    def fit_standardisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Take the mean and standard deviation of the training frames, float32 [bands], before the first step.

        A network that standardises its input some other way has no use for them.
        """
        for module in self.modules():
            if isinstance(module, Standardise):
                module.fit(mean, deviation)
