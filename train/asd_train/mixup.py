"""mixup_intype: mixed clips are always of one machine type (Chen et al., ICASSP 2022, equation 1)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def partners_in_type(machines: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Permute a batch within each machine type: the partner of clip i has the type of clip i. int64 [batch]."""
    partners = np.arange(len(machines))
    for machine in np.unique(machines):
        members = np.flatnonzero(machines == machine)
        partners[members] = generator.permutation(members)
    return partners


# x̃ = λ x_i + (1 − λ) x_j, ỹ = λ y_i + (1 − λ) y_j, λ ~ Beta(α, α). The paper does not say whether λ is drawn a batch or
# a pair: a pair here, which mixes small batches more evenly.
def mix(
    x: Tensor, y: Tensor, partners: NDArray[np.int64], alpha: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mix a batch with its partners.

    Args:
        x: features [batch, frames, bands].
        y: one-hot labels [batch, classes].
        partners: int64 [batch].
        alpha: of the Beta distribution; 0 leaves the batch as it is.
        generator: source of λ.
    """
    if alpha == 0.0:
        return x, y
    share = torch.from_numpy(generator.beta(alpha, alpha, size=len(x)).astype(np.float32)).to(x.device)
    other = torch.from_numpy(partners).to(x.device)
    share_x = share[:, None, None]
    share_y = share[:, None]
    return share_x * x + (1 - share_x) * x[other], share_y * y + (1 - share_y) * y[other]
