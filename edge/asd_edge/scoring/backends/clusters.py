"""k-means, the same clusters for the same rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def k_means(rows: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Return centres, [at most `count`, dims], and the number of each row's centre, [n].

    Started by k-means++ (Arthur and Vassilvitskii, SODA 2007) with a fixed seed. There are no more centres than
    different rows.
    """
    from scipy.cluster.vq import kmeans2  # learning may; the daemon, which scores, never imports scipy

    different = len(np.unique(rows, axis=0))
    centres, labels = kmeans2(rows, min(count, different), iter=100, minit="++", seed=0)
    return np.asarray(centres), np.asarray(labels)
