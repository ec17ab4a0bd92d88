"""TF-attention ResNet: a ResNet that never strides in time, with attention pooling over time in every band.

Chen, Song, Dai, McLoughlin, Liu: Self-supervised representation learning for unsupervised anomalous sound detection
under domain shift, ICASSP 2022, table 1 and equation 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .network import EmbeddingNetwork
from .standardise import Standardise

Pooling = Literal["attention", "average", "max"]

_STAGE_CHANNELS = (16, 32, 64, 128)
_BLOCKS_A_STAGE = 2
_ROOT_FLOOR = 1e-7  # keeps the slope of the signed root finite at 0; onnxruntime takes 1e-8 for 0 and leaves it out
_LEAST_LENGTH = 1e-3  # of a band's statistics: a band without any is left near 0 and not blown up to length 1


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with an identity shortcut (He et al., CVPR 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, frames, bands] -> the same shape."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(y)))


def _convolution(inputs: int, outputs: int, kernel: int, *, stride: tuple[int, int]) -> nn.Sequential:
    """Convolution, batch norm, ReLU; strides over time and bands."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class AttentionPooling(nn.Module):
    """First- and second-order statistics over time under learned attention (equation 2).

    For each band, X = [frames, channels], A = softmax over time of a 1×1 convolution = [frames, heads]:

        m = Xᵀ A,              μ = signed_root(m) / ‖signed_root(m)‖₂
        v = (X∘X)ᵀ A − m∘m,    σ = signed_root(v) / ‖signed_root(v)‖₂

    v is computed about each channel's plain mean, which changes nothing but the rounding: where a sound is steady, v
    is a millionth of m∘m, and the difference of two large numbers would be noise that the root makes larger still.

    The norms run over the channels × heads numbers of one band. The paper leaves open whether bands share the
    attention convolution: they do here.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(channels, heads, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, frames, bands] -> [batch, bands · 2 · channels · heads]."""
        weights = torch.softmax(self.attention(x), dim=2).permute(0, 3, 2, 1)  # [batch, bands, frames, heads]
        values = x.permute(0, 3, 1, 2)  # [batch, bands, channels, frames]
        middle = values.mean(dim=3, keepdim=True)
        about = values - middle
        shift = about @ weights  # [batch, bands, channels, heads]
        variance = (about * about) @ weights - shift * shift
        return self.describe(middle + shift, variance)

    @staticmethod
    def describe(mean: Tensor, variance: Tensor) -> Tensor:
        """Moments m and v, [batch, bands, channels, heads] each -> μ and σ, [batch, bands · 2 · channels · heads]."""
        statistics = [unit(_signed_root(moment.flatten(2)), least=_LEAST_LENGTH) for moment in (mean, variance)]
        return torch.cat(statistics, dim=2).flatten(1)


def _signed_root(x: Tensor) -> Tensor:
    """sign(x)·√|x| but near 0, where it is steep and not infinitely so."""
    return x / torch.sqrt(x.abs() + _ROOT_FLOOR)


def unit(x: Tensor, *, least: float = 1e-12) -> Tensor:
    """Scale the last dimension to length 1; what is shorter than `least` is divided by `least`."""
    return functional.normalize(x, dim=-1, eps=least)


class TFResNet(EmbeddingNetwork):
    """The network of table 1; 1,555,698 parameters at full width, 521,018 at half width.

    Args:
        bands: mel bands of the input.
        width: multiplies all channel counts.
        pooling: `attention` as published, or `average`/`max` over time (the paper's table 4).
        heads: attention heads K.
        dims: length of the embedding.
        time_strides: layers, from the first convolution and Trans1 on, that stride by two over time. The paper's has
            none; each halves what all layers behind it cost, and rules out streaming.
        bands_together: standardised bands that are averaged into one before the first convolution.
    """

    def __init__(
        self,
        *,
        bands: int = 128,
        width: float = 1.0,
        pooling: Pooling = "attention",
        heads: int = 2,
        dims: int = 128,
        time_strides: int = 0,
        bands_together: int = 1,
    ) -> None:
        super().__init__()
        self.bands, self.dims = bands, dims
        channels = [int(c * width) for c in _STAGE_CHANNELS]
        strides = [2] * time_strides + [1] * (1 + len(channels) - time_strides)
        self.standardise = Standardise(bands)
        self._together = bands_together
        layers: list[nn.Module] = [_convolution(1, channels[0], 7, stride=(strides[0], 1))]
        for stage, inputs in enumerate(channels):
            layers += [BasicBlock(inputs) for _ in range(_BLOCKS_A_STAGE)]
            outputs = channels[min(stage + 1, len(channels) - 1)]
            layers.append(_convolution(inputs, outputs, 3, stride=(strides[1 + stage], 2)))  # Trans1 … Trans4
        self.trunk = nn.Sequential(*layers)
        self.pooling = pooling
        pooled_bands = -(-bands // bands_together // 2 ** len(channels))  # each stride of two rounds up
        self.attention = AttentionPooling(channels[-1], heads) if pooling == "attention" else None
        self.embedding = nn.Linear(pooled_bands * channels[-1] * (2 * heads if self.attention else 1), dims)

    @property
    def reach(self) -> int:
        """Frames on either side of a frame that its output depends on: the sum of (kernel − 1) / 2 over time."""
        return sum(m.kernel_size[0] // 2 for m in self.trunk.modules() if isinstance(m, nn.Conv2d))

    @property
    def hidden_layers(self) -> Sequence[nn.Module]:
        """The first convolution and the first block of every stage."""
        stage = _BLOCKS_A_STAGE + 1  # blocks and the transition behind them
        return [self.trunk[i] for i in (0, *range(1, len(self.trunk), stage))]

    def forward(self, features: Tensor, *, context: int = 0) -> Tensor:
        """Log-mel segments [batch, context + frames + context, bands] -> embeddings of unit length [batch, dims].

        `context`: frames at both ends that only surround the segment. With `reach` of them no padding is felt.
        """
        x = self.standardise(features)
        if self._together > 1:
            x = x.unflatten(2, (-1, self._together)).mean(dim=3)
        x = self.trunk(x.unsqueeze(1))  # [batch, channels, frames, bands / 16]
        if context:
            x = x[:, :, context:-context]
        if self.attention is not None:
            pooled = self.attention(x)
        else:
            over_time = x.mean(dim=2) if self.pooling == "average" else x.amax(dim=2)
            pooled = over_time.flatten(1)
        return unit(self.embedding(pooled))
