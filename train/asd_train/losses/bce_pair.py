"""Outlier exposure's pair of binary cross-entropies: is it the target machine, and with which attribute value."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .class_loss import ClassLoss


class BCEPair(ClassLoss):
    """Fujimura, Kuroyanagi, Hayashi, Toda, DCASE 2023 report, equations 2 and 8, summed as in section 4.2.

        L_machine = mean_i BCE(t_i, σ(g_machine(f(x_i))))
        L_att     = mean_i mean_k BCE(a_ik, σ(g_att(f(x_i))_k))
        L         = L_machine + λ_section · L_att

    Pseudo-anomalies take part in both, with t = 0 and all a_k = 0. g_machine and g_att are linear.

    Args:
        dims: length of an embedding.
        classes: 1 + K: t, then the K values of one attribute item; 1 for L_machine alone.
        attribute_weight: λ_section.
    """

    def __init__(self, dims: int, classes: int, *, attribute_weight: float = 5.0) -> None:
        super().__init__(dims, classes)
        self.attribute_weight = attribute_weight
        self.linear = nn.Linear(dims, classes)

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """See `ClassLoss`; `target` is [t | a], float32 [batch, 1 + K]."""
        entropy = functional.binary_cross_entropy_with_logits(self.linear(embedding), target, reduction="none")
        machine, attributes = entropy[:, 0].mean(), entropy[:, 1:]
        return machine + self.attribute_weight * attributes.mean() if attributes.shape[1] else machine
