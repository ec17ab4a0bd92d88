"""All windows of a long stretch at once: what `Windows` and `score_window` give one by one, a hundred times as fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from asd_edge.scoring.aggregation import Aggregation, EmbeddedSegments, WindowSpec
from asd_edge.scoring.conditions import ConditionSet

_AT_ONCE = 2048  # windows: bounds the memory of many conditions


@dataclass(frozen=True)
class ScoredWindows:
    """Consecutive windows of one stream.

    `last`: index of each window's last segment, int64 [windows]. `scores`: float64 [windows], NaN where a window is
    idle. `nearest`: index of the nearest condition, int64 [windows].
    """

    last: NDArray[np.int64]
    scores: NDArray[np.float64]
    nearest: NDArray[np.int64]


def score_windows(
    segments: EmbeddedSegments, spec: WindowSpec, conditions: ConditionSet, aggregation: Aggregation
) -> ScoredWindows:
    """Score every window of consecutive segments; fewer segments than a window have none."""
    starts = np.arange(0, len(segments) - spec.segments + 1, spec.every)
    scores, nearest = np.full(len(starts), np.nan), np.zeros(len(starts), np.int64)
    for begin in range(0, len(starts), _AT_ONCE):
        some = starts[begin : begin + _AT_ONCE]
        part = segments[slice(some[0], some[-1] + spec.segments)]
        by_condition = _distances(part, some - some[0], spec.segments, conditions, aggregation)
        at = slice(begin, begin + len(some))
        nearest[at] = by_condition.argmin(axis=1)
        scores[at] = by_condition.min(axis=1)
    return ScoredWindows(starts + spec.segments - 1, scores, nearest)


def _distances(
    part: EmbeddedSegments, starts: NDArray[np.int64], size: int, conditions: ConditionSet, aggregation: Aggregation
) -> NDArray[np.float64]:
    """Return each window's weighted mean distance to each condition, [windows, conditions]; NaN where it is idle."""
    active = part.power > conditions.idle_floor
    weight = np.where(active, part.high_power, 0.0) if aggregation == "power" else active.astype(np.float64)
    heard = weight > 0.0  # what an idle segment holds must not matter, not even as 0 · NaN
    distances = np.zeros((len(part), len(conditions.conditions)))
    distances[heard] = conditions.distances(part.embeddings[heard])
    weights = sliding_window_view(weight.astype(np.float64), size)[starts]  # [windows, size]
    views = sliding_window_view(distances, size, axis=0)[starts]  # [windows, conditions, size]
    totals = weights.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.einsum("ws,wcs->wc", weights, views) / totals, dtype=np.float64)
