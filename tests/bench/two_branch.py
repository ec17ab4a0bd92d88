"""The two-branch network of Wilkinghoff, ICASSP 2023 (tables 1 and 2), forward only and with random weights.

No bias anywhere, only ReLU. The spectrogram branch is a pre-activation ResNet over 311 × 513 magnitudes, each bin
minus its temporal mean; the spectrum branch three long convolutions over the 80 000 magnitudes of all ten seconds.
Two shapes that the tables misprint are those of the released code: the second convolution strides by 32, and 2048
numbers are flattened.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asd_edge.dsp.clip_spectrum import ClipSpectrum, ClipSpectrumSpec
from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.dsp.mean_normalised import MeanNormaliser

PARAMETERS = 2_540_978


class _Block(nn.Module):
    """BN, ReLU, 3×3, BN, ReLU, 3×3, add; a halving block strides, and pools and projects its shortcut.

    The very first block lacks its BN and ReLU: the stem has just done both.
    """

    def __init__(self, inputs: int, outputs: int, *, first: bool) -> None:
        super().__init__()
        halves = inputs != outputs
        before: list[nn.Module] = [] if first else [nn.BatchNorm2d(inputs), nn.ReLU()]
        self.way = nn.Sequential(
            *before,
            nn.Conv2d(inputs, outputs, 3, stride=2 if halves else 1, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        project = nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False))
        self.shortcut = project if halves else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        shortcut: Tensor = self.shortcut(x)
        y: Tensor = self.way(x)
        return shortcut + y


class _Spectrogram(nn.Module):
    """Table 1: [batch, 311, 513] -> [batch, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.bins = nn.BatchNorm1d(513)
        blocks: list[nn.Module] = []
        before = 16
        for channels in (16, 32, 64, 128):
            blocks += [_Block(before, channels, first=not blocks), _Block(channels, channels, first=False)]
            before = channels
        stem = (nn.Conv2d(1, 16, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.trunk = nn.Sequential(*stem, nn.MaxPool2d(3, 2), *blocks, nn.MaxPool2d((10, 1)))
        self.head = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2048), nn.Linear(2048, 128, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        normal = self.bins(x.transpose(1, 2)).transpose(1, 2)
        embedding: Tensor = self.head(self.trunk(normal.unsqueeze(1)))
        return embedding


def _spectrum() -> nn.Sequential:
    """Table 2: [batch, 1, 80000] -> [batch, 128]. The paddings are those of "same"."""
    layers: list[nn.Module] = []
    for inputs, kernel, stride, padding in ((1, 256, 64, 96), (128, 64, 32, 31), (128, 16, 4, 6)):
        layers += [nn.Conv1d(inputs, 128, kernel, stride=stride, padding=padding, bias=False), nn.ReLU()]
    layers.append(nn.Flatten())
    for inputs in (1280, 128, 128, 128):
        layers += [nn.Linear(inputs, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 128, bias=False))


class TwoBranch(nn.Module):
    """Both branches: [batch, 311, 513] and [batch, 80000] -> [batch, 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrogram = _Spectrogram()
        self.spectrum = _spectrum()
        assert sum(p.numel() for p in self.parameters()) == PARAMETERS

    def forward(self, spectrogram: Tensor, spectrum: Tensor) -> Tensor:
        """Return both embeddings, one behind the other."""
        return torch.cat([self.spectrogram(spectrogram), self.spectrum(spectrum.unsqueeze(1))], dim=1)


def two_branch(samples: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
    """Return what embeds ten seconds, float32 [160000], from samples on: both inputs, both branches."""
    torch.manual_seed(5)
    network = TwoBranch().eval()
    magnitudes = FrontEnd(FrontEndSpec(feature="magnitude"))
    normaliser, spectra = MeanNormaliser(), ClipSpectrum(ClipSpectrumSpec())

    def embed() -> NDArray[np.float32]:
        for stage in (magnitudes, normaliser, spectra):
            stage.reset()
        spectrogram = normaliser.push(magnitudes.push(samples)).features
        spectrum = spectra.push(samples).magnitudes
        with torch.inference_mode():
            embedding: NDArray[np.float32] = network(torch.from_numpy(spectrogram), torch.from_numpy(spectrum)).numpy()
        return embedding

    return embed
