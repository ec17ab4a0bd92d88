"""ResNet-18 with a normalizing flow on its last map, trained together by outlier exposure.

Fujimura, Kuroyanagi, Hayashi, Toda: Anomalous sound detection by end-to-end training of outlier exposure and
normalizing flow with domain generalization techniques, DCASE 2023 report.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .fast_flow import FastFlow
from .network import EmbeddingNetwork
from .resnet18 import ResNet18, strided
from .standardise import Standardise

Latent = Literal["none", "standard", "domain_invariant"]

DOMAIN_CHANNELS = 8
"""Channels z_d of the domain-invariant latent, which alone may depend on the attribute (section 4.2)."""


class ResNet18Flow(EmbeddingNetwork):
    """11.17 M parameters, with the flow 19.04 M.

    The report leaves open how the map is pooled for the inlier models: by its average.

    Args:
        frames: of a segment; the density map has one number for every 32 of them.
        bands: mel bands of the input.
        width: multiplies the channel counts of ResNet-18.
        steps: coupling steps of the flow.
        latent: "none" for outlier exposure alone; "standard": z ~ N(0, 1); "domain_invariant": the first 8 channels
            z_d follow the attribute and are left out of the density map, the others are z_c ~ N(0, 1) (section 3.1).

    Attributes:
        pooled: length of the pooled embedding, which comes first.
    """

    def __init__(
        self, *, frames: int, bands: int = 224, width: float = 1.0, steps: int = 8, latent: Latent = "standard"
    ) -> None:
        super().__init__()
        self.bands, self.latent = bands, latent
        self.standardise = Standardise(bands)
        self.trunk = ResNet18(width=width)
        self.pooled = self.trunk.channels
        self.flow = None if latent == "none" else FastFlow(self.trunk.channels, steps=steps)
        self.dims = self.pooled + (strided(frames) if self.flow is not None else 0)

    @property
    def domain_channels(self) -> int:
        """How many of the latent channels follow the attribute."""
        return DOMAIN_CHANNELS if self.latent == "domain_invariant" else 0

    def feature_map(self, features: Tensor) -> Tensor:
        """Segments [batch, frames, bands] -> the last map of ResNet-18, [batch, channels, frames / 32, bands / 32]."""
        x: Tensor = self.trunk(self.standardise(features).unsqueeze(1))
        return x

    def forward(self, features: Tensor) -> Tensor:
        """Log-mel segments [batch, frames, bands] -> [pooled | density map], [batch, dims].

        The density map is −log p_Z(z) over time but for its constant, without the determinant: ½ z² averaged over
        channels and bands.
        """
        x = self.feature_map(features)
        pooled = x.mean(dim=(2, 3))
        if self.flow is None:
            return pooled
        z, _ = self.flow(x)
        judged = z[:, self.domain_channels :]
        return torch.cat([pooled, 0.5 * judged.square().mean(dim=(1, 3))], dim=1)
