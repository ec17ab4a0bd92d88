"""A threshold for a budget of false alarms from a handful of clips, which tell the level and hardly the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.calibration.gamma import GammaFit
from asd_edge.scoring.calibration.rates import GammaRate
from asd_edge.scoring.calibration.result import Calibration
from asd_edge.scoring.calibration.sustained import Trace, chances_per_week, sustained
from asd_edge.scoring.decision import DecisionSpec

FEW_CLIPS = 20
"""From fewer clips than this the shape of a distribution cannot be told."""

FEW_SHAPE = 4.0
"""Gamma shape assumed for a few clips: the deviation of scores is half their mean."""

PRIOR_CLIPS = 10
"""The prior spread weighs as much as that of so many clips. In logarithms the squared relative deviations of the
default bundle's six machines differ hardly more than chance lets them, which would allow thirty; plants differ more."""

ONE_CLIP = 3.0
"""So much further from a clip's centre lies sound of another occasion than the clip's halves lie from each other."""


_ROUNDING = 1e-6
"""Cosine distances of float32 embeddings are no surer than this, and rounding may make them negative."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What is known of normal scores before the first clip: gamma shape, and the mean where it is known."""

    shape: float = FEW_SHAPE
    mean: float | None = None

    @classmethod
    def of(cls, gamma: GammaFit | None) -> Spread:
        """Return the spread of a factory condition's scores."""
        return cls() if gamma is None else cls(gamma.shape, gamma.mean)


def calibrate_clips(
    scores: Sequence[Sequence[float]],
    *,
    alarms_per_week: float,
    every_s: float,
    prior: Spread | None = None,
    decision: DecisionSpec | None = None,
) -> Calibration:
    """Find the threshold that a few clips of normal sound allow for a budget of false alarms.

    Args:
        scores: of each clip, the scores of its windows against centres made of the other clips; of a single clip
            those of its halves against each other.
        alarms_per_week: how many false alarms a week of running may have.
        every_s: seconds between the windows of a clip.
        prior: what is known of this machine's scores before; None for nothing.
        decision: makes alarms of scores.

    Raises:
        ValueError: no scores, scores that are not finite, or a budget that is not positive.
    """
    clips = [np.asarray(clip, dtype=np.float64) for clip in scores if len(clip)]
    if not clips or not all(np.isfinite(clip).all() for clip in clips):
        raise ValueError(f"calibration needs finite scores, got {sum(map(len, clips))} of them")
    decision = decision or DecisionSpec()
    held = [held_levels(clip, every_s, decision) for clip in clips]
    rate, windows = (_rate(of, prior or Spread(), chances_per_week(decision)) for of in (held, clips))
    count = sum(map(len, clips))
    found = Calibration(
        method="few_clips",
        threshold=0.0,
        count=count,
        clips=len(clips),
        hours=count * every_s / 3600.0,
        mean=windows.mean,
        deviation=windows.deviation,
        rate=rate,
        alarms_per_week=alarms_per_week,
        highest=max(0.0, *(float(levels.max()) for levels in held)),
    )
    return found.at(found.threshold_for(alarms_per_week))


def held_levels(clip: NDArray[np.float64], every_s: float, decision: DecisionSpec) -> NDArray[np.float64]:
    """Return the levels that a clip held for the on-delay; of a clip too short for that, its mean, which is above."""
    levels = sustained(Trace(np.arange(len(clip), dtype=np.float64) * every_s, clip, every_s), decision)
    levels = levels[np.isfinite(levels)]
    return levels if len(levels) else clip.mean(keepdims=True)


# Levels held for the on-delay are gamma distributed, as window scores are: `levels` are either. Their mean is that of
# the clips' means, so that clips count and not windows; their relative variance is that between the clips and that
# within (one-way random effects, Searle, Casella & McCulloch, "Variance Components", 1992, section 3.6), moderated by a
# prior value c0 that weighs as much as d0 clips:
#     c² = (d0 c0² + d c_n²) / (d0 + d),  d = n − 1 clips
# (Smyth, "Linear models and empirical Bayes methods", Stat. Appl. Genet. Mol. Biol. 3, 2004, section 3). A new
# level differs from the mean of n clips by the variance (1 + 1/n) c², and a gamma shape is 1 / c².
# Errors: of the mean c / √n, of the relative variance √(2 / (d0 + d)), as of a variance of so many degrees of freedom.
def _rate(levels: Sequence[NDArray[np.float64]], prior: Spread, chances: float) -> GammaRate:
    n = len(levels)
    means = np.array([clip.mean() for clip in levels])
    mean = max(float(means.mean()), _ROUNDING)
    squares = 1.0 / prior.shape
    freedom = PRIOR_CLIPS + n - 1
    if n > 1:
        within = float(np.mean([clip.var() for clip in levels]))
        seen = (float(means.var(ddof=1)) + within) / mean**2
        squares = (PRIOR_CLIPS * squares + (n - 1) * seen) / freedom
    else:
        mean = max(ONE_CLIP * mean, prior.mean or 0.0)
    predicted = squares * (1.0 + 1.0 / n)
    return GammaRate(
        most=chances,
        shape=1.0 / predicted,
        scale=mean * predicted,
        mean_error=float(np.sqrt(squares / n)),
        shape_error=float(np.sqrt(2.0 / freedom)),
    )
