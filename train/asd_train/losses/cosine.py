"""Angles between embeddings and class centres: what the angular losses have in common."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_LEAST_DISTANCE = 1e-6  # of a cosine from ±1, where the slope of the arc cosine is infinite


def glorot_centres(classes: int, sub_clusters: int, dims: int) -> Tensor:
    """Draw centres [classes, sub_clusters, dims] as one dense layer: U(−a, a), a² = 6 / (dims + centres).

    Glorot and Bengio, AISTATS 2010, equation 16. Only their directions matter.
    """
    limit = math.sqrt(6.0 / (dims + classes * sub_clusters))
    return torch.empty(classes, sub_clusters, dims).uniform_(-limit, limit)


def cosines(embedding: Tensor, centres: Tensor) -> Tensor:
    """Embeddings [batch, dims], centres [classes, sub_clusters, dims] -> cosines [batch, classes, sub_clusters]."""
    with torch.autocast(embedding.device.type, enabled=False):  # bfloat16 has no number between 0.996 and 1
        directions = functional.normalize(centres.flatten(0, 1), dim=1)
        cosine = functional.normalize(embedding.to(centres.dtype), dim=1) @ directions.T
    return cosine.view(-1, *centres.shape[:2])


def angles(cosine: Tensor) -> Tensor:
    """Cosines -> angles in [0, π]."""
    return torch.acos(cosine.clamp(-1.0 + _LEAST_DISTANCE, 1.0 - _LEAST_DISTANCE))


def soft_cross_entropy(log_probability: Tensor, target: Tensor) -> Tensor:
    """−Σ_k y_k log p_k, the mean of a batch. [batch, classes] each."""
    return -(target * log_probability).sum(dim=1).mean()
