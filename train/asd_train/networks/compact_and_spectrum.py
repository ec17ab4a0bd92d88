"""A compact TF-attention ResNet beside the mean spectrum: what a machine does in time, and how it sounds on average."""

from __future__ import annotations

import torch
from torch import Tensor

from .network import EmbeddingNetwork
from .tf_resnet import TFResNet


class CompactAndSpectrum(EmbeddingNetwork):
    """[embedding of unit length | temporal mean of the features]; losses see the embedding alone.

    Args:
        bands: of the features, a multiple of `bands_together`.
        width, heads, dims, time_strides, bands_together: of the TFResNet.
    """

    def __init__(
        self, *, bands: int, width: float, heads: int, dims: int, time_strides: int, bands_together: int
    ) -> None:
        super().__init__()
        self.bands, self.dims = bands, dims + bands
        self.compact = TFResNet(
            bands=bands, width=width, heads=heads, dims=dims, time_strides=time_strides, bands_together=bands_together
        )

    @property
    def embedding_dims(self) -> int:
        """Numbers before the mean spectrum."""
        return self.compact.dims

    def forward(self, features: Tensor) -> Tensor:
        """Log-spectra [batch, frames, bands] -> [batch, dims + bands]."""
        return torch.cat([self.compact(features), features.mean(dim=1)], dim=1)
