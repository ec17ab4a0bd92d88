"""Distances that the graph itself gives: how far a segment is from all that the network was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.backends.backend import Distances, Embeddings, Fitted


def mean_of_numbers(conditions: Sequence[Fitted]) -> Distances:
    """Return what takes the mean of an embedding's numbers, the same for every condition; at least 0."""

    def distances(embeddings: Embeddings) -> NDArray[np.float32]:
        mean = np.maximum(embeddings.mean(axis=1, dtype=np.float64), 0.0)
        return np.repeat(mean[:, None].astype(np.float32), len(conditions), axis=1)

    return distances
