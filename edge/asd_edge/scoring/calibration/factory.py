"""The factory's threshold: a quantile of normal scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asd_edge.scoring.calibration.clips import FEW_CLIPS, FEW_SHAPE
from asd_edge.scoring.calibration.gamma import GammaFit, fit_gamma
from asd_edge.scoring.calibration.rates import GammaRate
from asd_edge.scoring.calibration.result import Calibration
from asd_edge.scoring.calibration.sustained import chances_per_week
from asd_edge.scoring.decision import DecisionSpec


def calibrate(scores: Sequence[float], *, clips: int, quantile: float) -> Calibration:
    """Find the threshold from the scores of normal windows.

    The larger of the empirical and the fitted quantile is taken: the fit reaches beyond the largest score seen, the
    percentile holds where the scores are not gamma distributed.

    Args:
        scores: of windows that made no centre; windows of one clip are not independent.
        clips: how many clips they come from. From fewer than FEW_CLIPS only the scale is taken, the shape is
            FEW_SHAPE: the windows of three clips say something about the mean and almost nothing about the spread,
            and a fitted shape would swing between deaf and nervous.
        quantile: share of normal windows at or below the threshold.

    Raises:
        ValueError: no scores, or scores that are not finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"calibration needs finite scores, got {values.size} of them")
    gamma = fit_gamma(values, known_shape=FEW_SHAPE if clips < FEW_CLIPS else None)
    percentile = float(np.quantile(values, quantile))
    fitted = 0.0 if gamma is None else gamma.quantile(quantile)
    return Calibration(
        method="gamma" if fitted > percentile else "percentile",
        threshold=max(percentile, fitted),
        count=len(values),
        clips=clips,
        hours=0.0,
        mean=float(values.mean()),
        deviation=float(values.std()),
        rate=None if gamma is None else factory_rate(gamma, clips),
        quantile=quantile,
        percentile_threshold=percentile,
        gamma=gamma,
    )


def factory_rate(gamma: GammaFit, clips: int) -> GammaRate:
    """Return what the scores of so many clips, one level each, say of alarms per week.

    They come from other conditions and microphones than this one: the interval is of the fit alone, and wide.
    """
    return GammaRate(
        most=chances_per_week(DecisionSpec()),
        shape=gamma.shape,
        scale=gamma.scale,
        mean_error=float(1.0 / np.sqrt(gamma.shape * clips)),
        shape_error=float(np.sqrt(2.0 / max(clips - 1, 1))),
    )
