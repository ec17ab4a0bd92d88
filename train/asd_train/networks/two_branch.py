"""Two branches: a ResNet over the spectrogram, and long convolutions over the spectrum of the whole segment.

Wilkinghoff: Design choices for learning embeddings from auxiliary tasks for domain generalization in anomalous sound
detection, ICASSP 2023, tables 1 and 2. Two shapes that the tables misprint are those of the author's code: the second
long convolution strides by 32, and 2048 numbers are flattened.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .network import EmbeddingNetwork
from .residual_stages import CHANNELS, ResidualBlock, staged_size, stages, stem

_WIDTH = 128  # of the spectrum branch, and of each branch's embedding
_LONG = ((256, 64), (64, 32), (16, 4))  # table 2: kernel, stride
_HIDDEN = 4  # dense layers before the last


class SpectrogramBranch(nn.Module):
    """Table 1; 967,090 parameters for 513 bins without bias.

    A block is BN, ReLU, 3×3, BN, ReLU, 3×3; the very first one lacks its BN and ReLU: the stem has just done both.
    """

    def __init__(self, bands: int, *, bias: bool) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, before: nn.Module | None = None) -> ResidualBlock:
            return ResidualBlock(
                inputs,
                outputs,
                before=before or nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU()),
                between=nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU()),
                after=nn.Identity(),
                bias=bias,
            )

        first, last = CHANNELS[0], CHANNELS[-1]
        self.bins = nn.BatchNorm1d(bands)  # which standardises the input
        self.stem = stem(nn.BatchNorm2d(first), nn.ReLU(), bias=bias)
        self.stages = stages(block(first, first, nn.Identity()), block)
        flat = last * staged_size(bands)
        self.head = nn.Sequential(nn.BatchNorm1d(flat), nn.Linear(flat, _WIDTH, bias=bias))

    # Y_{t,k} = |X_{t,k}| − 1/T · Σ_{s<T} |X_{s,k}| over the T frames of the segment: temporal mean normalisation
    # (input of table 1), inside the network so that nobody can leave it out.
    def forward(self, features: Tensor) -> Tensor:
        """Magnitudes [batch, frames, bands] -> [batch, 128]."""
        normal = features - features.mean(dim=1, keepdim=True)
        x = self.bins(normal.transpose(1, 2)).transpose(1, 2)
        x = self.stages(self.stem(x.unsqueeze(1)))  # [batch, 128, frames / 32, bands / 32]
        embedding: Tensor = self.head(x.amax(dim=2).flatten(1))
        return embedding


class SpectrumBranch(nn.Sequential):
    """Table 2, [batch, bins] -> [batch, 128]; 1,573,888 parameters for 79,872 or 80,000 bins without bias."""

    def __init__(self, bins: int, *, bias: bool) -> None:
        layers: list[nn.Module] = [nn.Unflatten(1, (1, bins))]
        inputs, size = 1, bins
        for kernel, stride in _LONG:
            places = -(-size // stride)  # "same" padding: a stride rounds up, an odd zero stands at the end
            missing = max(0, (places - 1) * stride + kernel - size)
            layers.append(nn.ConstantPad1d((missing // 2, missing - missing // 2), 0.0))
            layers += [nn.Conv1d(inputs, _WIDTH, kernel, stride=stride, bias=bias), nn.ReLU()]
            inputs, size = _WIDTH, places
        layers.append(nn.Flatten())
        for width in (_WIDTH * size, *(_WIDTH,) * (_HIDDEN - 1)):
            layers += [nn.Linear(width, _WIDTH, bias=bias), nn.BatchNorm1d(_WIDTH), nn.ReLU()]
        super().__init__(*layers, nn.Linear(_WIDTH, _WIDTH, bias=bias))


class TwoBranch(EmbeddingNetwork):
    """Both branches, [spectrogram 128 | spectrum 128]; 2,540,978 parameters as published.

    Args:
        bands: bins of a frame of the magnitude spectrogram.
        bins: of the segment's magnitude spectrum: 79,872 for segments of 311 frames, 80,000 for ten seconds.
        bias: of all convolutions and dense layers; the paper finds none better (its table 3).
    """

    hears_spectrum = True

    def __init__(self, *, bands: int = 513, bins: int = 79_872, bias: bool = False) -> None:
        super().__init__()
        self.bands, self.dims = bands, 2 * _WIDTH
        self.spectrogram = SpectrogramBranch(bands, bias=bias)
        self.spectrum = SpectrumBranch(bins, bias=bias)

    def forward(self, features: Tensor, spectrum: Tensor) -> Tensor:
        """Magnitudes [batch, frames, bands] and spectra [batch, bins] -> [batch, 256]."""
        return torch.cat([self.spectrogram(features), self.spectrum(spectrum)], dim=1)
