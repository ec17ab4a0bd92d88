"""Optimisers and learning rates as a recipe states them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ..recipe.training import SGD, Adam, AdamW, Phase


def optimiser_of(
    parameters: Iterable[nn.Parameter], table: SGD | Adam | AdamW, learning_rate: float
) -> torch.optim.Optimizer:
    """Return the optimiser of those parameters that learn."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    match table:
        case SGD():
            return torch.optim.SGD(learning, lr=learning_rate, momentum=table.momentum, weight_decay=table.weight_decay)
        case Adam():
            return torch.optim.Adam(learning, lr=learning_rate, weight_decay=table.weight_decay)
        case AdamW():
            return torch.optim.AdamW(learning, lr=learning_rate, weight_decay=table.weight_decay)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    """Take one step down the loss; return the loss before it."""
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()
    return float(loss.detach())


_RISE = 0.3  # share of a cycle in which the rate rises; it starts at 1/25 and ends at 1/250,000 of its largest value:
_START, _END = 1 / 25, 1 / 25 / 1e4  # Smith and Topin 2019, with the values of torch's OneCycleLR


def learning_rate(schedule: Sequence[Phase], progress: float) -> float:
    """Return the rate after so many epochs, fractions included; so that a resume loses nothing."""
    begin = 0.0
    for phase in schedule:
        if progress < begin + phase.epochs:
            break
        begin += phase.epochs
    if phase.shape == "constant":
        return phase.learning_rate
    done = min(1.0, (progress - begin) / phase.epochs)
    if done < _RISE:
        return phase.learning_rate * _cosine(_START, 1.0, done / _RISE)
    return phase.learning_rate * _cosine(1.0, _END, (done - _RISE) / (1.0 - _RISE))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + float(torch.cos(torch.tensor(share * torch.pi))))
