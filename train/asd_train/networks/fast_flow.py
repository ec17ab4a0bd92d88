"""FastFlow: a normalizing flow of a feature map that keeps its places.

Yu et al.: FastFlow: Unsupervised anomaly detection and localization via 2D normalizing flows, arXiv 2111.07677,
section 3.2. Coupling: Dinh, Sohl-Dickstein, Bengio: Density estimation using Real NVP, ICLR 2017, equations 4 to 8.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_CLAMP = 2.0  # of the log scale of one step: a factor of at most 7.4 [ours, as in the published re-implementations]
_KERNELS = (3, 1)  # alternating


# Channels in a fixed random order, x = [a | b]; two convolutions give the log scale s and the shift t from a alone:
#     y = [a | b ∘ exp(s(a)) + t(a)],    s = c · tanh(s̃),    log|det J| = Σ s
class CouplingStep(nn.Module):
    """One affine coupling. It starts as the identity but for the order: its last convolution is zero at first.

    Args:
        channels: of the map, two or more.
        kernel: of both convolutions.
        generator: draws the order.
    """

    order: Tensor

    def __init__(self, channels: int, kernel: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("order", torch.randperm(channels, generator=generator))
        self.kept = channels // 2
        first = nn.Conv2d(self.kept, self.kept, kernel, padding=kernel // 2)  # hidden ratio 1
        last = nn.Conv2d(self.kept, 2 * (channels - self.kept), kernel, padding=kernel // 2)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.sub_network = nn.Sequential(first, nn.ReLU(), last)

    def _affine(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.sub_network(kept).chunk(2, dim=1)
        return _CLAMP * torch.tanh(log_scale), shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, channels, frames, bands] -> y of the same shape, log|det J| [batch]."""
        x = x.index_select(1, self.order)
        kept, moved = x[:, : self.kept], x[:, self.kept :]
        log_scale, shift = self._affine(kept)
        return torch.cat([kept, moved * log_scale.exp() + shift], dim=1), log_scale.sum(dim=(1, 2, 3))

    def inverse(self, y: Tensor) -> Tensor:
        """Undo `forward`."""
        kept, moved = y[:, : self.kept], y[:, self.kept :]
        log_scale, shift = self._affine(kept)
        x = torch.cat([kept, (moved - shift) * (-log_scale).exp()], dim=1)
        return x.index_select(1, self.order.argsort())


class FastFlow(nn.Module):
    """Coupling steps whose convolutions alternate between 3×3 and 1×1; 7,870,464 parameters at 512 channels.

    Args:
        channels: of the feature map.
        steps: how many.
        seed: of the channels' orders, which are no part of what training draws.
    """

    def __init__(self, channels: int, *, steps: int = 8, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.steps = nn.ModuleList(
            CouplingStep(channels, _KERNELS[step % len(_KERNELS)], generator) for step in range(steps)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, channels, frames, bands] -> z of the same shape, log|det J| [batch]."""
        log_det = x.new_zeros(x.shape[0])
        for step in self.steps:
            x, step_log_det = step(x)
            log_det = log_det + step_log_det
        return x, log_det

    def inverse(self, z: Tensor) -> Tensor:
        """Undo `forward`: z -> x."""
        for step in reversed(self.steps):
            assert isinstance(step, CouplingStep)
            z = step.inverse(z)
        return z


def log_normal(z: Tensor, mean: Tensor | float = 0.0) -> Tensor:
    """log N(z; mean, 1) of each item, summed over all its numbers. [batch, …] -> [batch]."""
    return -0.5 * ((z - mean).square() + math.log(2.0 * math.pi)).flatten(1).sum(dim=1)
