"""Sub-cluster AdaCos: several centres a class, and a scale that follows the training by itself."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from .class_loss import ClassLoss
from .cosine import angles, cosines, glorot_centres, soft_cross_entropy

Angle = Literal["summed", "nearest"]


class SubClusterAdaCos(ClassLoss):
    """Wilkinghoff: Sub-cluster AdaCos, IJCNN 2021; Combining multiple distributions based on sub-cluster AdaCos, 2021.

    With S centres for each of C classes, θ_l the angle to centre l, and L(j) the centres of class j (DCASE 2021,
    equation 1):

        p_j = Σ_{l in L(j)} exp(s cos θ_l) / Σ_l exp(s cos θ_l),    L = −Σ_j y_j log p_j,    s₀ = √2 ln(C·S − 1)
        each training batch:    s ← ln B / cos(min(π/4, θ_med)),    B = mean_i Σ_l exp(s cos θ_il)

    B runs over all centres, those of the true class too, as in the authors' code; ln B is computed with the maximum
    subtracted. θ_med is the median angle to the true class; soft labels weigh it by their shares, as that code does.

    Args:
        dims: length of an embedding.
        classes: number of labels C.
        sub_clusters: centres a class, S.
        trainable: learn the centres (DCASE 2021), or leave them where they were drawn (ICASSP 2023).
        angle: how the angles to the S centres of a class make one. "summed" is the published code: with S > 1 the sum
            exceeds π/4 all but always, so that s = √2 ln B. "nearest" is the angle to the nearest of them [ours]: the
            reading that is AdaCos again for S = 1 and lets s fall as the classes tighten.
    """

    centres: Tensor
    scale: Tensor

    def __init__(
        self,
        dims: int,
        classes: int,
        *,
        sub_clusters: int = 16,
        trainable: bool = True,
        angle: Angle = "summed",
    ) -> None:
        super().__init__(dims, classes)
        self.angle = angle
        centres = glorot_centres(classes, sub_clusters, dims)
        if trainable:
            self.centres = nn.Parameter(centres)
        else:
            self.register_buffer("centres", centres)
        start = math.sqrt(2.0) * math.log(max(classes * sub_clusters - 1, 2))  # ln 1 = 0 would be no loss at all
        self.register_buffer("scale", torch.tensor(start))

    def forward(self, embedding: Tensor, target: Tensor) -> Tensor:
        """See `ClassLoss`. In training mode the scale is renewed first."""
        cosine = cosines(embedding, self.centres)  # [batch, classes, sub_clusters]
        if self.training:
            self._adapt(cosine.detach(), target)
        logits = self.scale * cosine
        log_probability = torch.logsumexp(logits, dim=2) - torch.logsumexp(logits, dim=(1, 2))[:, None]
        return soft_cross_entropy(log_probability, target)

    @torch.no_grad()
    def _adapt(self, cosine: Tensor, target: Tensor) -> None:
        log_b = torch.logsumexp(self.scale * cosine, dim=(0, 1, 2)) - math.log(len(cosine))
        to_centres = angles(cosine)
        to_class = to_centres.sum(dim=2) if self.angle == "summed" else to_centres.amin(dim=2)  # [batch, classes]
        middle = (target * to_class).sum(dim=1).quantile(0.5)
        self.scale.copy_(log_b / torch.cos(middle.clamp_max(math.pi / 4)))
