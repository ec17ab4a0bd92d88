"""The TF-attention ResNet frame by frame: the trained weights, rewired to remember what it has heard.

The network never strides in time. A convolution of kernel k over time needs, for n new frames, the k − 1 frames
before them; kept from call to call, every frame is computed once. Three rules keep the outputs equal to those of
the whole clip (docs/streaming.md):

1. Time is not padded. Output row j of a convolution belongs to input row j + (k − 1)/2 of [past, new].
2. A shortcut is delayed by as many frames as the convolutions it bridges: two 3×3 delay by 2, and [past, new][:n] of
   the first one *is* the input delayed by 2.
3. What comes out lags by `reach` frames, and the first `reach` rows that are due have seen the emptiness before the
   stream: the runtime drops them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .tf_resnet import BasicBlock, TFResNet, unit


class CachedConvolution(nn.Module):
    """A convolution with its batch norm folded in and its past given instead of padded."""

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.convolution = fuse_conv_bn_eval(convolution, norm)  # a copy
        kernel, band_padding = convolution.kernel_size[0], convolution.padding[1]
        assert isinstance(band_padding, int)
        self.convolution.padding = (0, band_padding)
        self.past = kernel - 1
        self.band_stride = convolution.stride[1]

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Continue with new frames.

        Args:
            x: [batch, channels, frames, bands].
            past: the frames before them, [batch, channels, past, bands].

        Returns:
            y [batch, outputs, frames, bands / stride], the joined input [batch, channels, past + frames, bands], and
            the past for the next call.
        """
        joined = torch.cat([past, x], dim=2)
        return self.convolution(joined), joined, joined[:, :, -self.past :]


class CachedTransition(nn.Module):
    """Convolution and ReLU."""

    def __init__(self, layer: nn.Sequential) -> None:
        super().__init__()
        convolution, norm = layer[0], layer[1]
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        self.cached = CachedConvolution(convolution, norm)
        self.convolutions = (self.cached,)

    def forward(self, x: Tensor, pasts: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """[batch, channels, frames, bands], one past -> output, next past."""
        y, _, past = self.cached(x, pasts[0])
        return torch.relu(y), [past]


class CachedBlock(nn.Module):
    """Two convolutions and the shortcut, delayed to match."""

    def __init__(self, block: BasicBlock) -> None:
        super().__init__()
        self.cached1 = CachedConvolution(block.conv1, block.norm1)
        self.cached2 = CachedConvolution(block.conv2, block.norm2)
        self.convolutions = (self.cached1, self.cached2)

    def forward(self, x: Tensor, pasts: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """[batch, channels, frames, bands], two pasts -> output, next pasts."""
        y, joined, first = self.cached1(x, pasts[0])
        y, _, second = self.cached2(torch.relu(y), pasts[1])
        delayed = joined[:, :, : x.shape[2]]  # x two frames ago
        return torch.relu(delayed + y), [first, second]


class StreamTFResNet(nn.Module):
    """Trunk and attention of a trained TFResNet, fed with the frames of many channels as they come.

    `reach`: frames of context on either side of a frame; the outputs lag by as many.

    Args:
        network: in evaluation mode; its weights are copied.

    Raises:
        ValueError: maximum pooling, which no sum over frames can give.
    """

    def __init__(self, network: TFResNet) -> None:
        super().__init__()
        if not streamable(network):
            raise ValueError("maximum pooling cannot be computed from sums over frames")
        self.bands, self.reach = network.bands, network.reach
        self.standardise = network.standardise
        self.layers = nn.ModuleList(_cached(layer) for layer in network.trunk)
        self.attention = network.attention.attention if network.attention is not None else None
        self.eval()

    @property
    def _cached_layers(self) -> list[CachedTransition | CachedBlock]:
        return cast("list[CachedTransition | CachedBlock]", list(self.layers))

    @property
    def _convolutions(self) -> list[CachedConvolution]:
        return [convolution for layer in self._cached_layers for convolution in layer.convolutions]

    @property
    def state_shapes(self) -> list[tuple[int, int, int]]:
        """Shape of each past, [channels, frames, bands], in order."""
        shapes, bands = [], self.bands
        for convolution in self._convolutions:
            shapes.append((convolution.convolution.in_channels, convolution.past, bands))
            bands = -(-bands // convolution.band_stride)
        return shapes

    @property
    def pooled_shape(self) -> tuple[int, int, int]:
        """(bands, heads, depth) of what comes out for a frame."""
        last = self._convolutions[-1].convolution
        bands = self.bands
        for convolution in self._convolutions:
            bands = -(-bands // convolution.band_stride)
        return bands, 1 if self.attention is None else self.attention.out_channels, last.out_channels

    def forward(self, features: Tensor, *pasts: Tensor) -> tuple[Tensor, ...]:
        """Continue each channel of the batch with new frames.

        Args:
            features: log-mel [batch, frames, bands].
            pasts: one tensor [batch, *shape] for each of `state_shapes`; zeros at the start of a stream.

        Returns:
            Frame features [batch, frames, pooled bands, channels], attention logits [batch, frames, pooled bands,
            heads], both of the frames `reach` before, and the pasts for the next call.
        """
        x = self.standardise(features).unsqueeze(1)
        following: list[Tensor] = []
        for layer in self._cached_layers:
            known = len(following)
            x, new = layer(x, pasts[known : known + len(layer.convolutions)])
            following += new
        logits = self.attention(x) if self.attention is not None else torch.zeros_like(x[:, :1])
        return x.permute(0, 2, 3, 1), logits.permute(0, 2, 3, 1), *following


class PooledHead(nn.Module):
    """What follows the pooling: moments over time -> embedding of unit length. The network's own weights."""

    def __init__(self, network: TFResNet) -> None:
        super().__init__()
        self.pooling = network.attention
        self.embedding = network.embedding

    def forward(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Attention-weighted mean and variance, [segments, pooled bands, heads, channels] each -> [segments, dims]."""
        mean, variance = mean.transpose(2, 3), variance.transpose(2, 3)  # [segments, bands, channels, heads]
        if self.pooling is None:  # average: the plain mean, channels before bands
            return unit(self.embedding(mean[..., 0].transpose(1, 2).flatten(1)))
        return unit(self.embedding(self.pooling.describe(mean, variance)))


def _cached(layer: nn.Module) -> CachedTransition | CachedBlock:
    if isinstance(layer, BasicBlock):
        return CachedBlock(layer)
    assert isinstance(layer, nn.Sequential)
    return CachedTransition(layer)


def streamable(network: nn.Module) -> bool:
    """Say whether a network can be computed frame by frame, exactly."""
    return isinstance(network, TFResNet) and network.pooling != "max"
