"""What the training loop asks of an objective, and the batch it gives to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ..networks.network import EmbeddingNetwork


@dataclass(frozen=True)
class Batch:
    """Segments of training clips, after mixup.

    Attributes:
        features: float32 [batch, frames, bands].
        spectrum: magnitudes of the segments' samples, float32 [batch, bins], for networks that hear them.
        targets: soft labels by kind ("machine", "section", "attributes", "joint"), float32 [batch, classes] each.
        machines: machine type of each clip, int64 [batch].
    """

    features: Tensor
    spectrum: Tensor | None
    targets: Mapping[str, Tensor]
    machines: Tensor


class Objective(nn.Module, ABC):
    """A network, what is learned beside it, and the loss of a batch.

    The engine wraps this module: everything that gradients run through happens inside its forward.
    """

    network: EmbeddingNetwork

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
