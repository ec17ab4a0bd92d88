"""A threshold for a budget of false alarms from hours of normal sound: the tail of sustained scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.calibration.clips import calibrate_clips
from asd_edge.scoring.calibration.pareto import fit_pareto
from asd_edge.scoring.calibration.rates import ParetoRate
from asd_edge.scoring.calibration.result import Calibration
from asd_edge.scoring.calibration.sustained import WEEK_S, Trace, alarms_at, chances_per_week, sustained
from asd_edge.scoring.decision import DecisionSpec

FEWEST_CLUSTERS = 20
"""From fewer peaks than this a tail cannot be told."""

ENOUGH_CLUSTERS = 50
"""The fit starts at the highest level with so many peaks above it: higher is nearer to the tail's limit law."""

_LEVELS = (0.995, 0.99, 0.98, 0.97, 0.95, 0.93, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)  # quantiles of the sustained scores
_PIECE_S = 60.0
"""Without a tail, minutes of a trace stand for clips."""


def calibrate_hours(trace: Trace, *, alarms_per_week: float, decision: DecisionSpec | None = None) -> Calibration:
    """Find the threshold for a budget of false alarms from sound of a machine that ran normally all the while.

    Args:
        trace: the scores, best of all the shifts and days that the machine knows.
        alarms_per_week: how many false alarms a week of running may have.
        decision: makes alarms of scores.

    Raises:
        ValueError: too few scores, scores that are infinite, or a budget that is not positive.
    """
    decision = decision or DecisionSpec()
    heard = trace.scores[np.isfinite(trace.scores)]
    if len(heard) < 2 or np.isposinf(trace.scores).any():
        raise ValueError(f"calibration needs finite scores, got {len(heard)} of them")
    weeks = trace.scored_s / WEEK_S
    held = sustained(trace, decision)
    level, clusters = _clusters(trace, held, decision, wanted=max(ENOUGH_CLUSTERS, 2.0 * alarms_per_week * weeks))
    if len(clusters) < FEWEST_CLUSTERS:
        return _from_pieces(trace, alarms_per_week, decision)
    excesses = np.array([np.nanmax(held[cluster]) for cluster in clusters]) - level
    tail = fit_pareto(excesses)
    found = Calibration(
        method="tail",
        threshold=0.0,
        count=len(heard),
        clips=len(clusters),
        hours=trace.scored_s / 3600.0,
        mean=float(heard.mean()),
        deviation=float(heard.std()),
        rate=ParetoRate(
            most=chances_per_week(decision),
            level=level,
            at_level=len(clusters) / weeks,
            shape=tail.shape,
            scale=tail.scale,
            clusters=len(clusters) / dispersion(trace, clusters),
        ),
        alarms_per_week=alarms_per_week,
    )
    found = found.at(found.threshold_for(alarms_per_week))
    return replace(found, heard=len(alarms_at(trace, found.threshold, decision)))


def _clusters(
    trace: Trace, held: NDArray[np.float64], decision: DecisionSpec, *, wanted: float
) -> tuple[float, list[slice]]:
    """Return the highest level with enough clusters above it, or that with the most, and the clusters."""
    levels = held[np.isfinite(held)]
    best: tuple[float, list[slice]] = (0.0, [])
    for quantile in _LEVELS if len(levels) else ():
        level = float(np.quantile(levels, quantile))
        clusters = alarms_at(trace, level, decision)
        if len(clusters) > len(best[1]):
            best = level, clusters
        if len(clusters) >= wanted:
            break
    return best


# Index of dispersion: variance over mean of counts, 1 for a Poisson process (Cox & Lewis, "The Statistical Analysis
# of Series of Events", 1966, section 4.5). Clusters that crowd in some hours say less than as many that do not.
def dispersion(trace: Trace, clusters: Sequence[slice]) -> float:
    """Return the index of dispersion of the clusters among the trace's hours of scored sound, 1 or more."""
    scored_s = trace.step_s * np.cumsum(np.isfinite(trace.scores))
    starts = scored_s[[cluster.start for cluster in clusters]]
    counts = np.histogram(starts, 3600.0 * np.arange(trace.scored_s // 3600.0 + 1.0))[0]
    return max(1.0, float(counts.var(ddof=1) / counts.mean())) if len(counts) > 2 and counts.any() else 1.0


def _from_pieces(trace: Trace, alarms_per_week: float, decision: DecisionSpec) -> Calibration:
    """Calibrate as if each minute were a clip: their spread is fitted, with the prior of a few clips.

    Windows of other conditions are left out of their minute: a level is held longer without them, never shorter.
    """
    size = max(1, round(_PIECE_S / trace.step_s))
    minutes = (
        trace.scores[start : min(start + size, run.stop)]
        for run in trace.runs()
        for start in range(run.start, run.stop, size)
    )
    pieces = [minute[np.isfinite(minute)].tolist() for minute in minutes]
    found = calibrate_clips(pieces, alarms_per_week=alarms_per_week, every_s=trace.step_s, decision=decision)
    return replace(found, method="gamma", heard=len(alarms_at(trace, found.threshold, decision)))
