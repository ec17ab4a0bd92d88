"""The tiny stream network's sizes and weights, from which its graphs and an independent reference are made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEL_BANDS, BANDS, DEPTH, HEADS, DIMS, OPSET, REACH = 128, 4, 8, 2, 16, 18, 3
CHANNELS = BANDS * DEPTH
FIRST_PAST, SECOND_PAST = 4, 2


def weights() -> dict[str, NDArray[np.float32]]:
    """The weights by name, which an independent reference computes with too."""
    random = np.random.default_rng(21)
    normal = random.standard_normal
    project = normal((MEL_BANDS, CHANNELS), dtype=np.float32) / np.float32(60.0)
    return {
        # Zero column sums: a gain, which shifts every log-mel band alike, hardly moves the embedding.
        "project": project - project.mean(axis=0, dtype=np.float32),
        "first": normal((CHANNELS, CHANNELS, FIRST_PAST + 1), dtype=np.float32) / np.float32(10.0),
        "second": normal((CHANNELS, CHANNELS, SECOND_PAST + 1), dtype=np.float32) / np.float32(10.0),
        "attend": normal((DEPTH, HEADS), dtype=np.float32),
        "head": normal((2 * BANDS * HEADS * DEPTH, DIMS), dtype=np.float32),
        "bias": np.zeros(DIMS, np.float32),
    }
