"""Stochastic gradient descent with the recipe's momentum and weight decay: for training and for fine-tuning."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .recipe import Training


def sgd(parameters: Iterable[nn.Parameter], training: Training, learning_rate: float) -> torch.optim.SGD:
    """Return the optimiser of these parameters."""
    return torch.optim.SGD(parameters, lr=learning_rate, momentum=training.momentum, weight_decay=training.weight_decay)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> float:
    """Take one step down the loss; return the loss before it."""
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()
    return float(loss.detach())
