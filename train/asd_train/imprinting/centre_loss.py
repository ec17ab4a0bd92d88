"""The loss of fine-tuning on a few target clips: tell the classes apart by their own centres."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


# Chen et al., ICASSP 2022, equations 4 and 5, no temperature:
#     p(y = k | x) = exp(C_kᵀ f(x)) / Σ_i exp(C_iᵀ f(x)),    L = −log p(y | x)
def centre_loss(embeddings: Tensor, centres: Tensor, classes: Tensor) -> Tensor:
    """Return the mean loss of a batch, a scalar.

    The paper's sum runs over the target classes. With one centre it is identically zero, whatever the embeddings:
    whoever has a single target class must give further centres to tell it from.

    Args:
        embeddings: f(x), of unit length  # [batch, dims].
        centres: C, mean embeddings, not of unit length; constants, no slope runs through them  # [centres, dims].
        classes: which centre each embedding belongs to, int64  # [batch].
    """
    return functional.cross_entropy(embeddings @ centres.detach().T, classes)
