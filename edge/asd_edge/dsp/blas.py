"""Matrix products small enough to stay in the thread that asks for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# OpenBLAS wakes its other threads from about this many multiply-adds on. For products as narrow as ours they
# spin longer than they compute: 22 to 43 µs of CPU a frame instead of 6, and stalls where cores are busy.
_QUIET_PRODUCT = 540_000


def quiet_rows(matrix: NDArray[np.float32], *, most: int) -> int:
    """Return how many rows to multiply with `matrix` at a time, at least 1 and at most `most`."""
    return min(most, max(1, _QUIET_PRODUCT // matrix.size))
