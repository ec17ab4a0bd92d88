"""Tell classes apart: a weighted sum of class losses over one embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..losses.class_loss import ClassLoss
from ..mixup import Mixing
from ..networks.network import EmbeddingNetwork
from ..recipe.training import Labels
from .objective import Batch, Objective


@dataclass(frozen=True)
class WeightedLoss:
    """One term: which labels it tells apart, how much it counts."""

    labels: Labels
    weight: float
    loss: ClassLoss


class Classify(Objective):
    """L = Σ_i w_i · L_i(f(x), y_i).

    Args:
        network: gives the embedding f(x).
        terms: at least one.
        context: frames at both ends of a crop that only surround it.
    """

    def __init__(self, network: EmbeddingNetwork, terms: Sequence[WeightedLoss], *, context: int = 0) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleList(term.loss for term in terms)
        self._labels = [(term.labels, term.weight) for term in terms]
        self._context = context

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar."""
        with _mixed_inside(self.network, batch.mixing):
            embedding = self._embedding(batch)
        losses = [
            weight * head(embedding, batch.targets[labels])
            for head, (labels, weight) in zip(self.heads, self._labels, strict=True)
        ]
        return torch.stack(losses).sum()

    def _embedding(self, batch: Batch) -> Tensor:
        if batch.spectrum is not None:
            embedding: Tensor = self.network(batch.features, batch.spectrum)
        elif self._context:
            embedding = self.network(batch.features, context=self._context)
        else:
            embedding = self.network(batch.features)
        return embedding[:, : self.network.embedding_dims]


# Manifold mixup (Verma et al., ICML 2019): the batch is mixed at one layer drawn at random, the input among them. Chen
# et al. (ICASSP 2022) do not say at which layers they mix: here the input and the output of every stage.
@contextmanager
def _mixed_inside(network: EmbeddingNetwork, mixing: Mixing | None) -> Iterator[None]:
    """Mix what goes into one of the network's hidden layers, drawn at random, within this context."""
    if mixing is None:
        yield
        return
    layers = network.hidden_layers
    layer = layers[int(torch.randint(len(layers), ()))]
    handle = layer.register_forward_pre_hook(lambda module, inputs: (mixing.of(inputs[0]), *inputs[1:]))
    try:
        yield
    finally:
        handle.remove()
