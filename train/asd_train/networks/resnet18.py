"""ResNet-18 for log-mel segments: one input channel, no classifier.

He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016, table 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, stride of the first block
_BLOCKS_A_STAGE = 2


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class _Block(nn.Module):
    """Two 3×3 convolutions; where a block strides, its shortcut is a strided 1×1 convolution (option B)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            *_convolution(inputs, outputs, 3, stride), nn.ReLU(), *_convolution(outputs, outputs, 3, 1)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.path(x) + self.shortcut(x)
        return torch.relu(y)


class ResNet18(nn.Sequential):
    """[batch, 1, frames, bands] -> [batch, channels, frames / 32, bands / 32], each stride rounding up.

    11,170,240 parameters at full width.

    Args:
        width: multiplies all channel counts.

    Attributes:
        channels: of the last map, 512 at full width.
    """

    def __init__(self, *, width: float = 1.0) -> None:
        channels = int(_STAGES[0][0] * width)
        layers: list[nn.Module] = [_convolution(1, channels, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
        for full, stride in _STAGES:
            outputs = int(full * width)
            for block in range(_BLOCKS_A_STAGE):
                layers.append(_Block(channels, outputs, stride if block == 0 else 1))
                channels = outputs
        super().__init__(*layers)
        self.channels = channels


def strided(length: int) -> int:
    """Return how many of `length` frames or bands are left in the last map: five halvings, each rounding up."""
    return -(-length // 32)
