"""Placeholder until the history is merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.aggregation import EmbeddedSegments


@dataclass(frozen=True)
class Stretch:
    """Consecutive segments. `times`: UTC seconds of each one's end, float64 [segments]."""

    times: NDArray[np.float64]
    first_sample: NDArray[np.int64]
    segments: EmbeddedSegments
