"""Give in int8, and still in float32, what the trained network gives."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from ..networks.fake_quantised import FakeQuantised
from ..networks.network import EmbeddingNetwork
from .objective import Batch, Objective

_LEAST = 1e-3  # of its largest value: what a number counts to vary by at least


class Imitate(Objective):
    """L = mean_d [(q_d(x) − t_d(x)) / σ_d]² + mean_d [(f_d(x) − t_d(x)) / σ_d]².

    The network f and its rounded self q are both held to t, the network before its first step: one run is exported in
    every precision, and their conditions and scores are to agree. With the first term alone f would move until its
    rounding led to t.

    Distillation (Polino, Pascanu, Alistarh: Model compression via distillation and quantization, ICLR 2018) of the
    embedding itself. σ_d is how much number d of the embedding varies over the batch: numbers of any size stand side by
    side, and an error counts as much as it hides what tells segments apart.

    Args:
        network: as trained; it is what learns.
        context: frames at both ends of a crop that only surround it.
    """

    def __init__(self, network: EmbeddingNetwork, *, context: int = 0) -> None:
        super().__init__()
        self.network = network
        self.quantised = FakeQuantised(network)
        self._options = {"context": context} if context else {}
        self.teacher = deepcopy(network).requires_grad_(False)

    def train(self, mode: bool = True) -> Imitate:
        """Networks compute as they serve, whatever the mode."""
        super().train(mode)
        self.network.eval()
        self.teacher.eval()
        return self

    def forward(self, batch: Batch) -> Tensor:
        """See `Objective`; the labels are not used."""
        inputs = (batch.features,) if batch.spectrum is None else (batch.features, batch.spectrum)
        with torch.no_grad():
            expected = self.teacher(*inputs, **self._options)
            least = (_LEAST * expected.abs().amax(dim=0)).clamp_min(torch.finfo(expected.dtype).tiny)
            spread = torch.maximum(expected.std(dim=0), least)
        both = (network(*inputs, **self._options) for network in (self.quantised, self.network))
        return torch.stack([((given - expected) / spread).square().mean() for given in both]).sum()
