"""What the training objective asks of a loss over classes."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class ClassLoss(nn.Module, ABC):
    """Embeddings with soft labels in, one number out. What it learns beside the network lives here as parameters.

    Attributes:
        dims: length of an embedding.
        classes: number of labels.
    """

    def __init__(self, dims: int, classes: int) -> None:
        super().__init__()
        self.dims, self.classes = dims, classes

    @abstractmethod
    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            embedding: float32 [batch, dims].
            target: share of each class, one-hot but for mixup, float32 [batch, classes].
        """
