"""From segments to one score a window: plain or power-weighted mean over the segments that are not idle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.stage import Stage
from asd_edge.scoring.conditions import ConditionSet

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

    def copied(self) -> EmbeddedSegments:
        """Return the same segments in memory of their own: a view would keep all it was cut from."""
        return EmbeddedSegments(
            self.first_frame.copy(), self.embeddings.copy(), self.power.copy(), self.high_power.copy()
        )

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


def condition_distances(
    window: EmbeddedSegments, conditions: ConditionSet, aggregation: Aggregation
) -> NDArray[np.float64] | None:
    """Return the aggregated distance of a window to each condition, float64 [conditions]; None when it is idle."""
    weights = segment_weights(
        window.power, window.high_power, idle_floor=conditions.idle_floor, aggregation=aggregation
    )
    if weights is None:
        return None
    active = weights > 0.0  # what an idle segment holds must not matter, not even as 0 · NaN
    return weights[active] @ conditions.distances(window.embeddings[active])


def score_window(window: EmbeddedSegments, conditions: ConditionSet, aggregation: Aggregation) -> ScoredWindow | None:
    """Score a window; None when it is idle.

    The distances to each condition are aggregated first, then the nearest condition is taken: a window is heard
    under one operating condition, and that condition's threshold judges it.
    """
    by_condition = condition_distances(window, conditions, aggregation)
    if by_condition is None:
        return None
    nearest = int(np.argmin(by_condition))
    return ScoredWindow(float(by_condition[nearest]), nearest)


@dataclass(slots=True)
class WindowsState:
    """The segments that the next window still needs, and whether there has been a whole window yet."""

    held: EmbeddedSegments | None = None
    complete: bool = False


class Windows(Stage[EmbeddedSegments, list[EmbeddedSegments], WindowsState]):
    """Segments in, overlapping windows of `spec.segments` of them out.

    At the end of a stream that was shorter than one window, `flush` gives one window of what there is.
    """

    def __init__(self, spec: WindowSpec) -> None:
        self.spec = spec
        super().__init__()

    @property
    def latency(self) -> int:
        """Segments of a window: it is complete with its last one."""
        return self.spec.segments

    def initial_state(self) -> WindowsState:
        """Return the memory of a stream that has not begun."""
        return WindowsState()

    def push(self, taken: EmbeddedSegments) -> list[EmbeddedSegments]:
        """Take the next segments, any number of them; return each window they complete."""
        state, size = self._state, self.spec.segments
        held = taken if state.held is None else state.held.joined(taken)
        starts = range(0, len(held) - size + 1, self.spec.every)
        windows = [held[start : start + size].copied() for start in starts]
        state.held = held[len(starts) * self.spec.every :].copied()
        state.complete = state.complete or bool(windows)
        return windows

    def flush(self) -> list[EmbeddedSegments]:
        """End the stream: the one short window of a stream that never filled a window."""
        state = self._state
        self.reset()
        return [] if state.complete or state.held is None or len(state.held) == 0 else [state.held]
