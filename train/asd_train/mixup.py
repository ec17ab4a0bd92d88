"""Mixed pairs of clips: within a machine type (Chen et al., ICASSP 2022, equation 1) or across all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .recipe.training import Mixup


class Mixing(NamedTuple):
    """Who is mixed with whom: `partners` int64 [batch], `share` λ of the clip itself, float32 [batch]."""

    partners: Tensor
    share: Tensor

    # x̃ = λ x_i + (1 − λ) x_j; the same λ and the same partner for sound, hidden layers and labels.
    def of(self, x: Tensor) -> Tensor:
        """Mix anything that has the batch as its first dimension."""
        share = self.share.view(-1, *[1] * (x.dim() - 1))
        return share * x + (1.0 - share) * x[self.partners]

    def to(self, device: torch.device) -> Mixing:
        """Return the same on a device."""
        return Mixing(self.partners.to(device), self.share.to(device))


# λ ~ Beta(α, α). The papers do not say whether λ is drawn a batch or a pair, or which pairs there are beyond "of the
# same type": a pair each, which mixes small batches more evenly, and a permutation. Where a paper pairs a shuffled
# batch with itself reversed, a permutation is the same but for who may be his own partner.
def draw_mixing(machines: NDArray[np.int64], mixup: Mixup, generator: np.random.Generator) -> Mixing | None:
    """Draw how a batch is mixed; None where it is not.

    Args:
        machines: machine type of each item, int64 [batch].
        mixup: the recipe's table.
        generator: source of pairs and shares.
    """
    if mixup.alpha == 0.0 or generator.random() >= mixup.probability:
        return None
    of_pairs = machines if mixup.pairs == "in_type" else np.zeros_like(machines)
    partners = partners_in_type(of_pairs, generator)
    share = generator.beta(mixup.alpha, mixup.alpha, size=len(machines)).astype(np.float32)
    return Mixing(torch.from_numpy(partners), torch.from_numpy(share))


def partners_in_type(machines: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """Permute a batch within each machine type: the partner of clip i has the type of clip i. int64 [batch]."""
    partners = np.arange(len(machines))
    for machine in np.unique(machines):
        members = np.flatnonzero(machines == machine)
        partners[members] = generator.permutation(members)
    return partners
