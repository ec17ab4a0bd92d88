"""A network that rounds much as its int8 graph will: eight bits in front of every layer, float32 between.

The exported graph differs in three ways. It also rounds what convolutions give and residual sums, where they stay in
eight bits; it leaves layers of few channels, and those that a sweep finds, in float32; and its ranges are the largest
values heard in calibration, while these are running means over batches, and clip more.

Jacob et al.: Quantization and training of neural networks for efficient integer-arithmetic-only inference, CVPR 2018,
section 3; Krishnamoorthi: Quantizing deep convolutional networks for efficient inference, arXiv 1806.08342, 2018,
sections 2.4 and 3.2: one scale for each output channel of a weight and one for an activation, symmetric, gradients
straight through the rounding, statistics of batch norm frozen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

_LEVELS = 127
_SMOOTHING = 0.99  # of the running mean of each range (Jacob et al., section 3.1)
_LEAST = 1e-12  # largest value of what is all zero

Layer = nn.Conv1d | nn.Conv2d | nn.Linear


class FakeQuantised(nn.Module):
    """Wraps a network, whose own weights stay float32 and under their own names.

    Batch norm needs no folding. It multiplies each output channel by a factor c, and each has a scale of its own:
    q(c·w) = c·q(w). It computes with its running statistics, as it will serve, also in training.

    In training mode the ranges follow what the layers are given; in evaluation mode they stay.

    Args:
        network: whose convolutions and dense layers are to round.

    Attributes:
        ranges: largest absolute value of each layer's input, a running mean over batches, float32 [layers].
    """

    ranges: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("ranges", torch.zeros(len(self._layers)))

    @property
    def _layers(self) -> dict[str, Layer]:
        return {name: module for name, module in self.network.named_modules() if isinstance(module, Layer)}

    def train(self, mode: bool = True) -> FakeQuantised:
        """Set the mode of the ranges; the network itself always computes as it will serve."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, *inputs: Any, **options: Any) -> Tensor:
        """Take what the network takes, and give what it would give if every layer's input and weights were int8."""
        weights = {f"{name}.weight": rounded_weights(layer.weight) for name, layer in self._layers.items()}
        with self._rounded_inputs():
            given: Tensor = functional_call(self.network, weights, inputs, options)
        return given

    @contextmanager
    def _rounded_inputs(self) -> Iterator[None]:
        handles = [
            layer.register_forward_pre_hook(lambda _, inputs, i=i: (self._rounded(i, inputs[0]), *inputs[1:]))
            for i, layer in enumerate(self._layers.values())
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _rounded(self, layer: int, x: Tensor) -> Tensor:
        if self.training:
            largest, known = x.detach().abs().max().to(self.ranges.dtype), self.ranges[layer]
            self.ranges[layer] = torch.where(known > 0.0, torch.lerp(largest, known, _SMOOTHING), largest)
        return rounded(x, self.ranges[layer])


# x̂ = s · clamp(round(x / s), −127, 127), s = max|x| / 127; ∂x̂/∂x = 1 within the range and 0 outside.
def rounded(x: Tensor, largest: Tensor) -> Tensor:
    """Round a tensor to the 255 values that eight bits have from −largest to largest, a scalar."""
    scale = (largest.clamp_min(_LEAST) / _LEVELS).to(torch.float32)
    zero = torch.zeros((), dtype=torch.int32, device=x.device)
    return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero, -_LEVELS, _LEVELS).to(x.dtype)


def rounded_weights(weights: Tensor) -> Tensor:
    """Round weights [outputs, …] to eight bits, with a scale for each output."""
    largest = weights.detach().abs().flatten(1).amax(dim=1)
    scale = largest.clamp_min(_LEAST) / _LEVELS
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weights, scale, zero, 0, -_LEVELS, _LEVELS)
