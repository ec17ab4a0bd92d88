"""Reconstruction: learn normal sound by heart."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..networks.dense_autoencoder import DenseAutoencoder
from .objective import Batch, Objective


class Reconstruct(Objective):
    """Mean square error over all stacks of the segments (Kawaguchi et al., DCASE 2021, section 4.1).

    Args:
        network: an autoencoder.
    """

    network: DenseAutoencoder

    def __init__(self, network: DenseAutoencoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Tensor:
        """See `Objective`; the labels are not used."""
        stacks = self.network.stacks(batch.features).flatten(0, 1)
        return functional.mse_loss(self.network.reconstruct(stacks), stacks)
