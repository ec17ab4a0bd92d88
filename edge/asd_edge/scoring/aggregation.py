"""From segments to one score a window: plain or power-weighted mean over the segments that are not idle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.nearest_centre import ConditionSet

Aggregation = Literal["mean", "power"]


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How many consecutive segments one published score covers, and after how many new ones the next is due."""

    segments: int = 8
    every: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.every <= self.segments:
            raise ValueError(f"a window of {self.segments} segments cannot be due every {self.every}")


@dataclass(frozen=True)
class EmbeddedSegments:
    """Consecutive segments with their embeddings.

    `first_frame`: absolute frame index of each segment's start, int64 [segments].
    `embeddings`: float32 [segments, dims].
    `power`, `high_power`: mean square of each segment, full band and high-passed, float32 [segments].
    """

    first_frame: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    power: NDArray[np.float32]
    high_power: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first_frame)

    def __getitem__(self, part: slice) -> EmbeddedSegments:
        return EmbeddedSegments(self.first_frame[part], self.embeddings[part], self.power[part], self.high_power[part])

    def joined(self, later: EmbeddedSegments) -> EmbeddedSegments:
        """Return these segments followed by `later`."""
        return EmbeddedSegments(
            np.concatenate([self.first_frame, later.first_frame]),
            np.concatenate([self.embeddings, later.embeddings]),
            np.concatenate([self.power, later.power]),
            np.concatenate([self.high_power, later.high_power]),
        )


# w_s = P_s / Σ P, P_s = mean square of the high-passed signal in segment s; score = Σ w_s a_s; no score when Σ P = 0.
# Fujimura et al. (DCASE 2023 report, section 3.2) describe the weighting in words only: this equation is our reading.
def segment_weights(
    power: NDArray[np.float32],
    high_power: NDArray[np.float32],
    *,
    idle_floor: float,
    aggregation: Aggregation,
) -> NDArray[np.float64] | None:
    """Return the weight of each segment, float64 [segments], sum 1; None when every segment is idle.

    A segment at or below the idle floor has weight 0 in both kinds, so silence neither raises nor hides a score.
    """
    active = power > idle_floor
    weights = np.where(active, high_power, 0.0) if aggregation == "power" else active.astype(np.float64)
    total = float(weights.sum(dtype=np.float64))
    if total <= 0.0:
        return None
    return np.asarray(weights, dtype=np.float64) / total


@dataclass(frozen=True, slots=True)
class ScoredWindow:
    """The distance of a window to its nearest condition."""

    score: float
    condition: int


def score_window(window: EmbeddedSegments, conditions: ConditionSet, aggregation: Aggregation) -> ScoredWindow | None:
    """Score a window; None when it is idle.

    The distances to each condition are aggregated first, then the nearest condition is taken: a window is heard
    under one operating condition, and that condition's threshold judges it.
    """
    weights = segment_weights(
        window.power, window.high_power, idle_floor=conditions.idle_floor, aggregation=aggregation
    )
    if weights is None:
        return None
    by_condition = weights @ conditions.distances(window.embeddings)  # [conditions]
    nearest = int(np.argmin(by_condition))
    return ScoredWindow(float(by_condition[nearest]), nearest)


class Windows:
    """Streaming stage: segments in, overlapping windows of `spec.segments` of them out.

    At the end of a stream that was shorter than one window, `flush` yields one window of what there is.
    """

    def __init__(self, spec: WindowSpec) -> None:
        self.spec = spec
        self.reset()

    def reset(self) -> None:
        """Forget every segment."""
        self._held: EmbeddedSegments | None = None
        self._complete = False

    def push(self, segments: EmbeddedSegments) -> list[EmbeddedSegments]:
        """Take the next segments; return each window they complete."""
        if len(segments) == 0:
            return []
        held = segments if self._held is None else self._held.joined(segments)
        size, every = self.spec.segments, self.spec.every
        windows = []
        first = 0
        while first + size <= len(held):
            windows.append(held[first : first + size])
            first += every
        self._complete = self._complete or bool(windows)
        self._held = held[first:]
        return windows

    def flush(self) -> list[EmbeddedSegments]:
        """End the stream: the one short window of a stream that never filled a window."""
        short = [] if self._complete or self._held is None else [self._held]
        self.reset()
        return short
