"""What the training loop asks of an objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..mixup import Mixing
from ..networks.network import EmbeddingNetwork


class Batch(NamedTuple):
    """Crops with their labels.

    Attributes:
        features: float32 [batch, context + frames + context, bands].
        spectrum: magnitudes of each crop's own samples, float32 [batch, bins]; None where the network hears none.
        targets: soft labels by what makes a class, float32 [batch, classes] each.
        machines: machine type of each crop, int64 [batch].
        mixing: a mixup that is still to be done at a hidden layer; targets are mixed already.
    """

    features: Tensor
    spectrum: Tensor | None
    targets: Mapping[str, Tensor]
    machines: Tensor
    mixing: Mixing | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the same on a device."""
        return Batch(
            self.features.to(device, non_blocking=True),
            None if self.spectrum is None else self.spectrum.to(device, non_blocking=True),
            {name: target.to(device, non_blocking=True) for name, target in self.targets.items()},
            self.machines.to(device, non_blocking=True),
            None if self.mixing is None else self.mixing.to(device),
        )


class Objective(nn.Module, ABC):
    """A network with the heads it is trained through; only the network is kept.

    Everything that has a gradient happens inside `forward`: it is what several devices run side by side.
    """

    network: EmbeddingNetwork

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
