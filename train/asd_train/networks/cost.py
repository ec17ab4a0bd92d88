"""What a network costs: parameters, and multiply-adds of one segment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """`multiply_adds`: of convolutions, dense layers and matrix products; a batch norm folds into them and is free."""

    parameters: int
    multiply_adds: int


def cost(network: nn.Module, *shapes: tuple[int, ...]) -> Cost:
    """Return what a network costs for one segment.

    Args:
        network: in any mode; left in it.
        shapes: of each input without the batch, (frames, bands) first.
    """
    training = network.training
    device = next((parameter.device for parameter in network.parameters()), None)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval()(*(torch.zeros(1, *shape, device=device) for shape in shapes))
    network.train(training)
    parameters = sum(p.numel() for p in network.parameters())
    return Cost(parameters, counter.get_total_flops() // 2)  # it counts a multiply-add as two
