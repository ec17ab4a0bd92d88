"""Softmax cross-entropy of a linear classifier on the scaled embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .class_loss import ClassLoss


class Softmax(ClassLoss):
    """Chen et al., ICASSP 2022, section 3.1: −Σ_k y_k log softmax(W s·f(x) + b)_k.

    Args:
        dims: length of an embedding.
        classes: number of labels.
        logit_scale: s. The paper mentions none; an embedding of unit length needs one (docs/decisions/07).
    """

    def __init__(self, dims: int, classes: int, *, logit_scale: float = 1.0) -> None:
        super().__init__(dims, classes)
        self.logit_scale = logit_scale
        self.linear = nn.Linear(dims, classes)

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """See `ClassLoss`."""
        return functional.cross_entropy(self.linear(self.logit_scale * embedding), target)
