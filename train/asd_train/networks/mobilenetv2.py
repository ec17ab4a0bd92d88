"""MobileNetV2 as an embedder: inverted residuals with linear bottlenecks, strided in time as in frequency.

Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2: Inverted residuals and linear bottlenecks, CVPR 2018, tables 1
and 2.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .network import EmbeddingNetwork
from .standardise import Standardise

_STEM_CHANNELS, _LAST_CHANNELS = 32, 1280
_STAGES = (  # table 2: expansion t, channels c, blocks n, stride s of the first of them
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_DIVISOR = 8


def scaled(channels: int, width: float) -> int:
    """Return channels · width, rounded to a multiple of 8 that is not more than a tenth below it.

    The paper states the width and no rounding; this is `_make_divisible` of its authors' code
    (tensorflow/models, research/slim/nets/mobilenet).
    """
    wanted = channels * width
    rounded = max(_DIVISOR, int(wanted + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * wanted else rounded


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, linear: bool = False
) -> nn.Sequential:
    """Convolution, batch norm and, unless linear, ReLU6; padded evenly, a stride of two rounds up."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers) if linear else nn.Sequential(*layers, nn.ReLU6())


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project without a non-linearity (table 1).

    The shortcut joins the narrow ends, where stride and channels let it.
    """

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        expand = [_convolution(inputs, inner, 1)] if expansion > 1 else []  # t = 1: nothing to expand
        self.path = nn.Sequential(
            *expand,
            _convolution(inner, inner, 3, stride=stride, groups=inner),
            _convolution(inner, outputs, 1, linear=True),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, frames, bands] -> [batch, outputs, frames / stride, bands / stride]."""
        y: Tensor = self.path(x)
        return x + y if self.shortcut else y


def mobilenetv2_trunk(width: float) -> tuple[nn.Sequential, int]:
    """Return all convolutions of table 2 for one input channel, and how many channels the last of them gives."""
    channels = scaled(_STEM_CHANNELS, width)
    layers: list[nn.Module] = [_convolution(1, channels, 3, stride=2)]
    for expansion, full, blocks, stride in _STAGES:
        outputs = scaled(full, width)
        for block in range(blocks):
            first = block == 0
            layers.append(InvertedResidual(channels, outputs, expansion=expansion, stride=stride if first else 1))
            channels = outputs
    last = scaled(_LAST_CHANNELS, max(width, 1.0))
    layers.append(_convolution(channels, last, 1))
    return nn.Sequential(*layers), last


class MobileNetV2(EmbeddingNetwork):
    """The network of table 2 with one input channel and an embedding in place of the classifier.

    2,387,264 parameters at full width, 851,360 at half width.

    Args:
        bands: mel bands of the input.
        width: multiplies all channel counts; below 1 the last convolution keeps its 1280 (section 5 of the paper).
        dims: length of the embedding.
    """

    def __init__(self, *, bands: int = 128, width: float = 1.0, dims: int = 128) -> None:
        super().__init__()
        self.bands, self.dims = bands, dims
        self.standardise = Standardise(bands)
        self.trunk, last = mobilenetv2_trunk(width)
        self.embedding = nn.Linear(last, dims)

    def forward(self, features: Tensor) -> Tensor:
        """Log-mel segments [batch, frames, bands] -> embeddings of unit length [batch, dims]."""
        x = self.trunk(self.standardise(features).unsqueeze(1))  # [batch, channels, frames / 32, bands / 32]
        return functional.normalize(self.embedding(x.mean(dim=(2, 3))), dim=-1)
