"""Several networks that hear the same segment, as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .network import EmbeddingNetwork


class Ensemble(EmbeddingNetwork):
    """The embeddings of its members, one behind the other; exported as one graph.

    Raises:
        ValueError: no networks, or networks of different inputs.
    """

    def __init__(self, networks: Sequence[EmbeddingNetwork]) -> None:
        super().__init__()
        inputs = {(network.bands, network.hears_spectrum) for network in networks}
        if len(inputs) != 1:
            raise ValueError(f"an ensemble of networks with {len(inputs)} different inputs; they must have the same")
        [(self.bands, self.hears_spectrum)] = inputs
        self.dims = sum(network.dims for network in networks)
        self.members = nn.ModuleList(networks)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Embed segments with every member: what one of them takes -> [batch, dims of all]."""
        return torch.cat([member(*inputs) for member in self.members], dim=1)
