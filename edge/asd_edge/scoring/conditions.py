"""What is known of a machine's normal sound, in the form that scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.backends.backend import Backend, Distances, Fitted


@dataclass(frozen=True)
class Condition:
    """One operating condition of a machine.

    Args:
        name: what people call it, for example `rpm1200`.
        fitted: what the backend has learned of its normal sound.
        threshold: distance above which a window is anomalous under this condition.
    """

    name: str
    fitted: Fitted
    threshold: float


@dataclass(frozen=True)
class ConditionSet:
    """Everything normal that is known of one machine.

    Args:
        backend: that every condition was fitted with.
        conditions: at least one.
        idle_floor: mean square of a segment at or below which the machine stands still.
    """

    backend: Backend
    conditions: tuple[Condition, ...]
    idle_floor: float

    @cached_property
    def _distances(self) -> Distances:
        return self.backend.scorer([condition.fitted for condition in self.conditions])

    def distances(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return each embedding's distance to each condition, >= 0. [segments, dims] -> [segments, conditions]."""
        return self._distances(embeddings)
