"""The temporal mean of the features: what a whole segment sounds like, and nothing about when."""

from __future__ import annotations

from torch import Tensor

from .network import EmbeddingNetwork


class MeanSpectrum(EmbeddingNetwork):
    """No parameters: what there is to learn of a machine, its backend learns in closed form.

    Args:
        bands: of the features.
    """

    def __init__(self, *, bands: int) -> None:
        super().__init__()
        self.bands, self.dims = bands, bands

    def forward(self, features: Tensor) -> Tensor:
        """Log-spectra [batch, frames, bands] -> their mean over time, dB [batch, bands]."""
        return features.mean(dim=1)
