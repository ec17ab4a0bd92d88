"""Matrix products small enough to stay in the thread that asks for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# OpenBLAS wakes its other threads above this many multiply-adds (interface/gemm.c: twice 65 536 · 4). For products
# as narrow as ours they spin longer than they compute: 22 to 43 µs of CPU a frame instead of 6, and stalls where
# cores are busy.
_QUIET_PRODUCT = 524_288
_GROUP = 48  # columns: fewer need more calls, more multiply more zeros


def quiet_rows(matrix: NDArray[np.float32], *, most: int) -> int:
    """Return how many rows to multiply with `matrix` at a time, at least 1 and at most `most`."""
    return min(most, max(1, _QUIET_PRODUCT // matrix.size))


class BandedProduct:
    """`left @ matrix` for a matrix [n, m] whose columns are zero but for a band of rows, as mel filters are.

    Groups of neighbouring columns are multiplied with the rows they reach alone: for 128 mel filters over 513
    bins less than a third of the multiply-adds. Any other matrix gives the right product too, only no faster.
    """

    def __init__(self, matrix: NDArray[np.float32]) -> None:
        self._parts = []
        for start in range(0, matrix.shape[1], _GROUP):
            columns = slice(start, start + _GROUP)
            rows = _reach(matrix[:, columns])
            self._parts.append((rows, columns, np.ascontiguousarray(matrix[rows, columns])))

    def rows(self, *, most: int) -> int:
        """Return how many rows to multiply at a time, at least 1 and at most `most`."""
        return min(quiet_rows(part, most=most) for _, _, part in self._parts)

    def __call__(self, left: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write the product of `left` [T, n] into `out` [T, m]."""
        for rows, columns, part in self._parts:
            np.matmul(left[:, rows], part, out[:, columns])


def _reach(columns: NDArray[np.float32]) -> slice:
    """Return the rows in which a column is not zero; one row if there is none, so that a NaN is seen."""
    used = np.flatnonzero(columns.any(axis=1))
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
