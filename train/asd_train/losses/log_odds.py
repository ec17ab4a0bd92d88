"""Cross-entropy of a network whose output already are the classes' log-odds."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from .class_loss import ClassLoss


class LogOdds(ClassLoss):
    """Softmax cross-entropy of o_k = log((1 − p_k)/p_k), which the network gives for the device's score.

        p_k = 1/(1 + exp(o_k)),    L = −Σ_k y_k log p_k = Σ_k y_k softplus(o_k)

    It has no parameters: `dims` and `classes` are the same number.

    Raises:
        ValueError: they are not.
    """

    def __init__(self, dims: int, classes: int) -> None:
        super().__init__(dims, classes)
        if dims != classes:
            raise ValueError(f"{dims} log-odds for {classes} classes")

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """See `ClassLoss`."""
        return (target * functional.softplus(embedding)).sum(dim=1).mean()
