"""The network under sub-cluster AdaCos.

Wilkinghoff: Combining multiple distributions based on sub-cluster AdaCos for anomalous sound detection under domain
shifted conditions, DCASE 2021, table 1; the order within stem and blocks is that of the author's code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .network import EmbeddingNetwork
from .residual_stages import CHANNELS, ResidualBlock, staged_size, stages, stem
from .standardise import Standardise

_SLOPE = 0.1


def _block(inputs: int, outputs: int) -> ResidualBlock:
    return ResidualBlock(
        inputs,
        outputs,
        before=nn.LeakyReLU(_SLOPE),
        between=nn.Sequential(nn.LeakyReLU(_SLOPE), nn.BatchNorm2d(outputs)),
        after=nn.BatchNorm2d(outputs),
        bias=True,
    )


class SubclusterResNet(EmbeddingNetwork):
    """Embedding and temporal maximum: [embedding | largest log-mel value of each band in the segment, dB].

    766,944 parameters at 128 bands and an embedding of 128. The losses hear the embedding alone; to the maximum, which
    nothing is trained on, the paper fits one more Gaussian for valves.

    Args:
        bands: mel bands of the input.
        dims: length of the embedding alone; the attribute of that name counts both parts.
    """

    def __init__(self, *, bands: int = 128, dims: int = 128) -> None:
        super().__init__()
        self.bands, self.dims = bands, dims + bands
        first, last = CHANNELS[0], CHANNELS[-1]
        self.standardise = Standardise(bands)
        self.stem = stem(nn.LeakyReLU(_SLOPE), nn.BatchNorm2d(first), bias=True)
        self.stages = stages(_block(first, first), _block)
        self.embedding = nn.Linear(last * staged_size(bands), dims)

    @property
    def embedding_dims(self) -> int:
        """Numbers before the temporal maximum."""
        return self.embedding.out_features

    def forward(self, features: Tensor) -> Tensor:
        """Log-mel segments [batch, frames, bands] -> [batch, dims + bands]."""
        x = self.stages(self.stem(self.standardise(features).unsqueeze(1)))  # [batch, 128, frames / 32, bands / 32]
        embedding = self.embedding(x.amax(dim=2).flatten(1))
        return torch.cat([embedding, features.amax(dim=1)], dim=1)
