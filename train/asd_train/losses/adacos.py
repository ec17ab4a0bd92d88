"""AdaCos: cosine softmax whose scale follows the training by itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .class_loss import ClassLoss
from .cosine import angles, cosines, glorot_centres, soft_cross_entropy

_LEAST_SCALE = 1.0


class AdaCos(ClassLoss):
    """Zhang, Zhao, Qiao, Wang, Li: AdaCos: Adaptively scaling cosine logits, CVPR 2019, equations 12 to 15.

        L = −Σ_k y_k log softmax(s cos θ)_k,    s₀ = √2 ln(C − 1)
        each training batch:    s ← ln B / cos(min(π/4, θ_med)),    B = mean_i Σ_{k ≠ y_i} exp(s cos θ_ik)

    θ_med is the median angle to the true class. Soft labels weigh both by their shares [ours]: a class is left out of
    B by 1 − y_k, and the angle of a mixed clip is Σ_k y_k θ_k.

    The paper has thousands of classes. With two, s₀ = 0 and nothing would be learned: the scale never falls below 1
    [ours].

    Args:
        dims: length of an embedding.
        classes: number of labels.
    """

    scale: Tensor

    def __init__(self, dims: int, classes: int) -> None:
        super().__init__(dims, classes)
        self.centres = nn.Parameter(glorot_centres(classes, 1, dims))
        start = math.sqrt(2.0) * math.log(max(classes - 1, 1))
        self.register_buffer("scale", torch.tensor(max(start, _LEAST_SCALE)))

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """See `ClassLoss`. In training mode the scale is renewed first."""
        cosine = cosines(embedding, self.centres)[:, :, 0]  # [batch, classes]
        if self.training:
            self._adapt(cosine.detach(), target)
        return soft_cross_entropy(torch.log_softmax(self.scale * cosine, dim=1), target)

    @torch.no_grad()
    def _adapt(self, cosine: Tensor, target: Tensor) -> None:
        others = torch.log((1.0 - target).clamp_min(0.0))  # −∞ for the true class
        log_b = torch.logsumexp(self.scale * cosine + others, dim=(0, 1)) - math.log(len(cosine))
        middle = (target * angles(cosine)).sum(dim=1).quantile(0.5)
        scale = log_b / torch.cos(middle.clamp_max(math.pi / 4))
        self.scale.copy_(scale.clamp_min(_LEAST_SCALE))
