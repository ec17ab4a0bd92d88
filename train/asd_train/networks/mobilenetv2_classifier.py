"""MobileNetV2 as the DCASE baseline has it: it classifies sections, and says how little it believes in each.

Kawaguchi et al.: Description and discussion on DCASE 2021 challenge task 2, section 4.2 and equation 4. Width,
global average pooling and one dense layer are those of the organisers' code; the log-mel goes into one channel
instead of three equal ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .mobilenetv2 import mobilenetv2_trunk
from .network import EmbeddingNetwork
from .standardise import Standardise

_LEAST_PROBABILITY = 1e-7
_LARGEST_LOG_ODDS = math.log((1.0 - _LEAST_PROBABILITY) / _LEAST_PROBABILITY)  # 16.1


class MobileNetV2Classifier(EmbeddingNetwork):
    """691,235 parameters at half width with three classes.

    Args:
        bands: mel bands of the input.
        width: multiplies all channel counts but the last.
        classes: number of sections; also `dims`.
    """

    def __init__(self, *, bands: int = 128, width: float = 0.5, classes: int) -> None:
        super().__init__()
        self.bands, self.dims = bands, classes
        self.standardise = Standardise(bands)
        self.trunk, last = mobilenetv2_trunk(width)
        self.classifier = nn.Linear(last, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Log-mel patches [batch, frames, bands] -> log((1 − p)/p) of every class's posterior p, [batch, classes].

        In evaluation p is kept within [1e-7, 1 − 1e-7], so that one patch cannot outweigh a clip. The loss needs the
        slope beyond: in training nothing is cut.
        """
        x = self.trunk(self.standardise(features).unsqueeze(1))  # [batch, channels, frames / 32, bands / 32]
        odds = against(self.classifier(x.mean(dim=(2, 3))))
        return odds if self.training else odds.clamp(-_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)


# p_k = exp(l_k) / Σ_j exp(l_j)  ⇒  log((1 − p_k)/p_k) = log Σ_{j ≠ k} exp(l_j) − l_k, where no p is rounded to 1
def against(logits: Tensor) -> Tensor:
    """Logits [batch, classes] -> log-odds against each class, [batch, classes]."""
    own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    others = logits[:, None, :].masked_fill(own, -1e30)  # [batch, classes, classes]; −∞ would be 0/0 for one class
    top = others.amax(dim=2, keepdim=True)
    return (others - top).exp().sum(dim=2).log() + top[:, :, 0] - logits
