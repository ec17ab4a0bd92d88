"""The protocol every engine serves."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns segments into embeddings."""

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        ...

    def embed(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed a batch of segments. float32 [segments, frames, bands] -> float32 [segments, dims].

        Zero segments give an array of shape [0, dims].
        """
        ...
