"""The strided residual stages that two networks of Wilkinghoff share (DCASE 2021, table 1; ICASSP 2023, table 1).

Both tables print a stride of 1 for the stages, but the halving in their shapes is real: the first block of stages 2
to 4 strides. Padding is even, and a stride of two rounds up.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

CHANNELS = (16, 32, 64, 128)


class ResidualBlock(nn.Module):
    """after(shortcut(x) + 3×3(between(3×3(before(x))))).

    Where the channels change, the first convolution strides by two, and the shortcut pools 2×2 and projects.

    Args:
        inputs, outputs: channels.
        before, between, after: activations and norms around the convolutions, in the order of the paper.
        bias: of the convolutions.
    """

    def __init__(
        self, inputs: int, outputs: int, *, before: nn.Module, between: nn.Module, after: nn.Module, bias: bool
    ) -> None:
        super().__init__()
        halves = inputs != outputs
        self.way = nn.Sequential(
            before,
            nn.Conv2d(inputs, outputs, 3, stride=2 if halves else 1, padding=1, bias=bias),
            between,
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias),
        )
        project = nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=bias))
        self.shortcut = project if halves else nn.Identity()
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, frames, bands] -> [batch, outputs, frames, bands], both halved where channels change."""
        y: Tensor = self.after(self.shortcut(x) + self.way(x))
        return y


def stem(*after: nn.Module, bias: bool) -> nn.Sequential:
    """Return 7×7 / 2, what the paper puts after it, and 3×3 / 2 max pooling: one channel to the first stage's."""
    convolution = nn.Conv2d(1, CHANNELS[0], 7, stride=2, padding=3, bias=bias)
    return nn.Sequential(convolution, *after, nn.MaxPool2d(3, stride=2))


def stages(first: nn.Module, block: Callable[[int, int], nn.Module]) -> nn.Sequential:
    """Return four stages of two blocks: `first`, then what `block` makes of (inputs, outputs)."""
    made = [nn.Sequential(first, block(CHANNELS[0], CHANNELS[0]))]
    made += [nn.Sequential(block(inputs, outputs), block(outputs, outputs)) for inputs, outputs in pairwise(CHANNELS)]
    return nn.Sequential(*made)


def staged_size(size: int) -> int:
    """Return what stem and stages leave of so many frames or bands: of 311 they leave 10, of 513 16, of 128 4."""
    pooled = (_halved(size) - 3) // 2 + 1
    for _ in CHANNELS[1:]:
        pooled = _halved(pooled)
    return pooled


def _halved(size: int) -> int:
    return (size + 1) // 2
