"""ArcFace: the true class must be nearer by an angle."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .class_loss import ClassLoss
from .cosine import cosines, glorot_centres, soft_cross_entropy

_LEAST_SINE = 1e-6  # its square keeps the slope of the root finite


class ArcFace(ClassLoss):
    """Deng, Guo, Xue, Zafeiriou: ArcFace: Additive angular margin loss for deep face recognition, CVPR 2019, eq 3.

        logit_k = s · cos(θ_k + m·y_k),    L = −Σ_k y_k log softmax(logit)_k

    For one-hot labels that is the paper's loss: the margin m for the true class alone. A mixed clip gives each of its
    classes the margin by its share y_k [ours], so that the margin goes to 0 with the share instead of ending in a step.

    Beyond θ_k + m·y_k = π the cosine would rise again. The authors' code (insightface) goes on with
    cos θ − m sin m there, and so does this, with m·y_k for m.

    Args:
        dims: length of an embedding.
        classes: number of labels.
        scale: s.
        margin: m, in radians.
    """

    def __init__(self, dims: int, classes: int, *, scale: float = 30.0, margin: float = 0.5) -> None:
        super().__init__(dims, classes)
        self.scale, self.margin = scale, margin
        self.centres = nn.Parameter(glorot_centres(classes, 1, dims))

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """See `ClassLoss`."""
        cosine = cosines(embedding, self.centres)[:, :, 0]  # [batch, classes]
        sine = torch.sqrt((1.0 - cosine * cosine).clamp_min(_LEAST_SINE**2))
        margin = self.margin * target
        shifted = cosine * torch.cos(margin) - sine * torch.sin(margin)  # cos(θ + m·y)
        within = cosine > torch.cos(math.pi - margin)  # θ + m·y < π
        logits = self.scale * torch.where(within, shifted, cosine - margin * torch.sin(margin))
        return soft_cross_entropy(torch.log_softmax(logits, dim=1), target)
