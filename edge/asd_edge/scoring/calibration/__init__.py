"""Thresholds from the scores of normal sound alone, with what they promise.

Imports scipy when it computes (`scipy.special`, never `scipy.stats`): never in the running daemon.
"""

from asd_edge.scoring.calibration.clips import FEW_CLIPS, FEW_SHAPE, Spread, calibrate_clips
from asd_edge.scoring.calibration.factory import calibrate, factory_rate
from asd_edge.scoring.calibration.gamma import GammaFit, fit_gamma
from asd_edge.scoring.calibration.hours import calibrate_hours
from asd_edge.scoring.calibration.rates import AlarmRate, GammaRate, ParetoRate
from asd_edge.scoring.calibration.result import Calibration, Method
from asd_edge.scoring.calibration.sustained import Trace, alarms_at, sustained

__all__ = [
    "FEW_CLIPS",
    "FEW_SHAPE",
    "AlarmRate",
    "Calibration",
    "GammaFit",
    "GammaRate",
    "Method",
    "ParetoRate",
    "Spread",
    "Trace",
    "alarms_at",
    "calibrate",
    "calibrate_clips",
    "calibrate_hours",
    "factory_rate",
    "fit_gamma",
    "sustained",
]
