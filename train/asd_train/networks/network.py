"""What training, runs and evaluation ask of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .standardise import Standardise


class EmbeddingNetwork(nn.Module, ABC):
    """Segments in, one vector each out: what backends see, whatever it means.

    Attributes:
        bands: features of a frame.
        dims: length of the vector.
        hears_spectrum: whether `forward` takes the magnitude spectrum of the segment's samples too.
    """

    bands: int
    dims: int
    hears_spectrum: bool = False

    @property
    def embedding_dims(self) -> int:
        """How many numbers of the vector, from the first on, class losses see."""
        return self.dims

    @property
    def hidden_layers(self) -> Sequence[nn.Module]:
        """Layers whose input manifold mixup may mix; none where it is not for this network."""
        return ()

    @property
    def standardises(self) -> bool:
        """Whether it has use for the statistics of the training frames."""
        return any(isinstance(module, Standardise) for module in self.modules())

    def fit_standardisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Take the mean and standard deviation of the training frames, float32 [bands], before the first step."""
        for module in self.modules():
            if isinstance(module, Standardise):
                module.fit(mean, deviation)

    # Networks have one input or two, which no one signature says: each states its own.
    @abstractmethod
    def forward(self, *inputs: Any, **options: Any) -> Tensor:
        """Return the vectors of some segments, float32 [batch, dims].

        Args:
            inputs: features, float32 [batch, frames, bands]; with `hears_spectrum` also spectra, float32 [batch, bins].
            options: a network's own, all of which have defaults.
        """
