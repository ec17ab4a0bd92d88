"""Give in int8 what the trained network gives in float32."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from ..networks.fake_quantised import FakeQuantised
from ..networks.network import EmbeddingNetwork
from .objective import Batch, Objective

_LEAST = 1e-6  # share of the largest number that another counts as at least


class Imitate(Objective):
    """L = mean_d [(q_d(x) − f_d(x)) / max|f_d|]²: the rounded network q is held to f, the network before its first step.

    Distillation (Polino, Pascanu, Alistarh: Model compression via distillation and quantization, ICLR 2018) of the
    embedding itself. max|f_d| is over the batch: numbers of any size stand side by side in an embedding, as in the
    parity gate.

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
        """Both networks compute as they serve, whatever the mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, batch: Batch) -> Tensor:
        """See `Objective`; the labels are not used."""
        inputs = (batch.features,) if batch.spectrum is None else (batch.features, batch.spectrum)
        with torch.no_grad():
            expected = self.teacher(*inputs, **self._options)
            largest = expected.abs().amax(dim=0)
            largest = largest.clamp_min(_LEAST * float(largest.max()))
        error: Tensor = (self.quantised(*inputs, **self._options) - expected) / largest
        return error.square().mean()
