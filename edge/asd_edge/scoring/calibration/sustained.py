"""What an alarm is made of: scores that stay high. An alarm is whatever `decide` calls one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.decision import DecisionSpec, DecisionState, decide, interrupt

WEEK_S = 604_800.0


@dataclass(frozen=True)
class Trace:
    """Scores of one machine under one condition, in the order of their windows.

    `times`: second of sound at which each window ends, rising, float64 [windows]. `scores`: float64 [windows], NaN
    where a window has none (an idle machine), −inf where it was heard under another condition. `step_s`: seconds from
    one window to the next. Where a window is missing the sound had a gap.
    """

    times: NDArray[np.float64]
    scores: NDArray[np.float64]
    step_s: float

    @property
    def scored_s(self) -> float:
        """Seconds of sound that was scored under this condition."""
        return self.step_s * int(np.isfinite(self.scores).sum())

    @property
    def apart(self) -> NDArray[np.bool_]:
        """Whether there is a gap, or the start, before each window."""
        return np.asarray(np.diff(self.times, prepend=-np.inf) > 1.5 * self.step_s)

    def runs(self) -> Iterator[slice]:
        """Yield the stretches that a hold time may span: neither a gap nor a window without a score in them."""
        heard = ~np.isnan(self.scores)
        starts = np.flatnonzero(heard & (self.apart | ~np.roll(heard, 1)))
        for start, limit in zip(starts, [*starts[1:], len(heard)], strict=True):
            yield slice(int(start), int(start + heard[start:limit].sum()))


# An alarm begins at window i when every score since some window at least the on-delay earlier lies above the
# threshold, that is when min(score_j … score_i) does, j the last window with time_j <= time_i − on-delay. The largest
# threshold at which `decide` raises an alarm is therefore the largest of these running minima.
# `decide` compares each window with the threshold of its own condition. A normal window of another condition is below
# that one: it confirms nothing and calms an alarm, whatever the threshold of this condition, just as −inf does.
def sustained(trace: Trace, decision: DecisionSpec) -> NDArray[np.float64]:
    """Return the level that the scores held for the on-delay until each window, float64 [windows].

    It is NaN where the scores have not lasted that long since a gap, an idle window or the start, and −inf where a
    window of another condition lies within the delay.
    """
    held = np.full(len(trace.scores), np.nan)
    for run in trace.runs():
        times = trace.times[run]
        first = np.searchsorted(times, times - decision.on_delay_s, side="right") - 1
        last = np.flatnonzero(first >= 0)
        if len(last):
            bounds = np.stack([first[last], last + 1], axis=1).ravel()
            scores = np.append(trace.scores[run], np.inf)  # reduceat wants every bound to be an index
            held[run.start + last] = np.minimum.reduceat(scores, bounds)[::2]
    return held


# Runs declustering (Leadbetter et al. 1983; Coles, "An Introduction to Statistical Modeling of Extreme Values", 2001,
# section 5.3.2) ends a cluster of exceedances when enough values in a row lie below the level. The decision does just
# that with its lower limit and off-delay, so that the clusters above a level are the alarms at that level.
def alarms_at(trace: Trace, threshold: float, decision: DecisionSpec) -> list[slice]:
    """Return the windows of each alarm that the detector would have raised, from its first to its last."""
    times, scores = trace.times.tolist(), trace.scores.tolist()
    apart = trace.apart.tolist()
    over = np.flatnonzero(trace.scores > threshold)
    found: list[slice] = []
    state, i, began = DecisionState(), 0, 0
    while i < len(scores):
        if state == DecisionState():  # which only a score above the threshold changes
            ahead = int(np.searchsorted(over, i))
            if ahead == len(over):
                break
            i = int(over[ahead])
        was = state.active
        if apart[i] or math.isnan(scores[i]):
            state = interrupt(state)
        if not math.isnan(scores[i]):
            state = decide(decision, state, score=scores[i], threshold=threshold, time=times[i])
        if state.active and not was:
            began = i
        elif was and not state.active:
            found.append(slice(began, i + 1))
        i += 1
    return [*found, slice(began, len(scores))] if state.active else found


def chances_per_week(decision: DecisionSpec) -> float:
    """Return the most alarms that a week has room for: one cannot begin before the last one's delays have passed."""
    return WEEK_S / max(decision.on_delay_s + decision.off_delay_s, 1.0)
