"""Standardisation of the input, kept inside the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Standardise(nn.Module):
    """Fixed per-band shift and scale, fitted on the training frames and exported inside the graph.

    The papers name no standardisation. As part of the network it can never be left out of an export.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("scale", torch.ones(bands))

    def fit(self, mean: Tensor, deviation: Tensor) -> None:
        """Take the mean and standard deviation of the training frames, float32 [bands]."""
        self.mean.copy_(mean)
        self.scale.copy_(1.0 / deviation.clamp_min(1e-3))

    def forward(self, features: Tensor) -> Tensor:
        """[batch, frames, bands] -> the same shape."""
        return (features - self.mean) * self.scale

    def invert(self, standardised: Tensor) -> Tensor:
        """Undo `forward`."""
        return standardised / self.scale + self.mean
