"""Several networks side by side, as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .network import EmbeddingNetwork


class Ensemble(EmbeddingNetwork):
    """Hands its input to every network, and gives all that they give, one after the other.

    The backend of the same name cuts it into as many parts and adds up their distances.

    Args:
        networks: at least one; all of the same inputs.

    Raises:
        ValueError: networks of different inputs, or none.
    """

    def __init__(self, networks: Sequence[EmbeddingNetwork]) -> None:
        super().__init__()
        inputs = {(network.bands, network.hears_spectrum) for network in networks}
        if len(inputs) != 1:
            raise ValueError(f"an ensemble of networks with {len(inputs)} different inputs")
        [(self.bands, self.hears_spectrum)] = inputs
        self.dims = sum(network.dims for network in networks)
        self.networks = nn.ModuleList(networks)

    def forward(self, *inputs: Tensor) -> Tensor:
        """What each network takes -> [batch, dims of all]."""
        return torch.cat([network(*inputs) for network in self.networks], dim=1)
