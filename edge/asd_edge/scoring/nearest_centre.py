"""Cosine distance to the nearest stored centre of normal sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to unit length; a zero row stays zero. [n, dims] -> [n, dims], float32."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


def cosine_distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return 1 − cos of the angle between two vectors, [dims] each."""
    return float(1.0 - normalised(one) @ normalised(other))


@dataclass(frozen=True)
class Condition:
    """One operating condition of a machine.

    Args:
        name: what people call it, for example `rpm1200`.
        centres: mean embeddings of normal sound, float32 [centres, dims]; not necessarily of unit length.
        threshold: cosine distance above which a window is anomalous under this condition.
    """

    name: str
    centres: NDArray[np.float32]
    threshold: float


@dataclass(frozen=True)
class ConditionSet:
    """Everything normal that is known of one machine.

    Args:
        conditions: at least one.
        idle_floor: mean square of a segment at or below which the machine stands still.
    """

    conditions: tuple[Condition, ...]
    idle_floor: float

    @cached_property
    def _unit_centres(self) -> NDArray[np.float32]:
        return normalised(np.concatenate([condition.centres for condition in self.conditions]))

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        counts = [len(condition.centres) for condition in self.conditions]
        return np.cumsum([0, *counts[:-1]])

    # d(x, k) = 1 − f(x)ᵀ C_k / (‖f(x)‖ ‖C_k‖); a condition is as far as the nearest of its centres
    # (Chen et al., ICASSP 2022, section 3.3: score = −max over the classes k of cos(f(x), C_k)).
    def distances(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return each embedding's distance to each condition. [segments, dims] -> [segments, conditions]."""
        cosines = normalised(embeddings) @ self._unit_centres.T  # [segments, centres]
        nearest = np.maximum.reduceat(cosines, self._starts, axis=1)
        return np.asarray(1.0 - nearest, dtype=np.float32)  # [segments, conditions]


def mean_centre(clips: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the centre of a condition: the mean embedding of its clips, float32 [dims].

    Every clip counts alike, whatever its length: C = (1/N) Σ_i f(x_i), f(x_i) the mean over the clip's segments
    (Chen et al., ICASSP 2022, equation 3).

    Args:
        clips: one array of segment embeddings a clip, each [segments >= 1, dims].
    """
    return np.asarray(np.mean([clip.mean(axis=0) for clip in clips], axis=0), dtype=np.float32)
