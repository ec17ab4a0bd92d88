"""The DCASE baseline autoencoder, and what its device backend needs of a segment's residuals.

Kawaguchi et al.: Description and discussion on DCASE 2021 challenge task 2, section 4.1. The selective Mahalanobis
score of the 2023 baseline stands on the same network (Harada et al., DCASE 2023).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .network import EmbeddingNetwork
from .standardise import Standardise

Statistics = Literal["error", "moments"]

_HIDDEN = (128, 128, 128, 128, 8, 128, 128, 128, 128)
STACKED = 5
"""Consecutive frames that are reconstructed together."""


class DenseAutoencoder(EmbeddingNetwork):
    """Stacks of 5 frames through a bottleneck of 8; batch norm and ReLU after every layer but the last.

    267,928 parameters for 128 bands. The baseline standardises nothing. Here a fixed shift and scale of each band
    stands before the first layer and is undone after the last [ours]: the same functions, errors in the unit of the
    features (dB²), but training starts from the mean sound instead of learning −40 dB by steps of 1e-3.

    Args:
        bands: mel bands of a frame.
        statistics: what `forward` tells of a segment's residuals. "error": their mean square, one number. "moments":
            of the residuals r = x − x̂ as rows of `bands`, five a stack, the mean m, then the second moments
            M = mean r rᵀ, upper triangle by rows. Both readings of the Mahalanobis score follow:
            mean_i r_iᵀ Σ⁻¹ r_i = tr(Σ⁻¹ M), and over all pairs of rows mᵀ Σ⁻¹ m.
    """

    _upper: Tensor

    def __init__(self, *, bands: int = 128, statistics: Statistics = "error") -> None:
        super().__init__()
        self.bands, self.statistics = bands, statistics
        self.dims = 1 if statistics == "error" else bands + bands * (bands + 1) // 2
        self.standardise = Standardise(bands)
        layers: list[nn.Module] = []
        inputs = STACKED * bands
        for outputs in _HIDDEN:
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, STACKED * bands))
        row, column = torch.triu_indices(bands, bands)
        self.register_buffer("_upper", row * bands + column, persistent=False)

    def stacks(self, features: Tensor) -> Tensor:
        """Return all stacks of segments [batch, frames, bands] -> [batch, frames − 4, 5 · bands], shifted by one frame.

        Raises:
            ValueError: fewer than five frames.
        """
        count = features.shape[1] - STACKED + 1
        if count < 1:
            raise ValueError(f"{features.shape[1]} frames, fewer than a stack of {STACKED}")
        return torch.cat([features[:, first : first + count] for first in range(STACKED)], dim=2)

    def reconstruct(self, stacks: Tensor) -> Tensor:
        """Stacks [n, 5 · bands] -> their reconstructions, the same shape."""
        standardised = self.standardise(stacks.view(-1, STACKED, self.bands)).flatten(1)
        reconstructed: Tensor = self.layers(standardised)
        return self.standardise.invert(reconstructed.view(-1, STACKED, self.bands)).flatten(1)

    def forward(self, features: Tensor) -> Tensor:
        """Log-mel segments [batch, frames, bands] -> statistics of their residuals [batch, dims]."""
        stacks = self.stacks(features)
        flat = stacks.flatten(0, 1)
        residuals = (flat - self.reconstruct(flat)).view_as(stacks)  # [batch, frames − 4, 5 · bands]
        if self.statistics == "error":
            return (residuals * residuals).mean(dim=(1, 2))[:, None]
        rows = residuals.reshape(residuals.shape[0], -1, self.bands)  # [batch, 5 · (frames − 4), bands]
        moments = rows.transpose(1, 2) @ rows / rows.shape[1]  # [batch, bands, bands]
        return torch.cat([rows.mean(dim=1), moments.flatten(1).index_select(1, self._upper)], dim=1)
