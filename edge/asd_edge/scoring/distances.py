"""Vectors and the angle between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to unit length; a zero row stays zero. [n, dims] -> [n, dims], float32."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


def cosine_distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return 1 − cos of the angle between two vectors, [dims] each."""
    return float(1.0 - normalised(one) @ normalised(other))


def mean_centre(clips: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean embedding of some clips, float32 [dims].

    Every clip counts alike, whatever its length: C = (1/N) Σ_i f(x_i), f(x_i) the mean over the clip's segments
    (Chen et al., ICASSP 2022, equation 3).

    Args:
        clips: one array of segment embeddings a clip, each [segments >= 1, dims].
    """
    return np.asarray(np.mean([clip.mean(axis=0) for clip in clips], axis=0), dtype=np.float32)
