"""Drift of normal sound: proposed when it lasts, not for chance, alarms or idle time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from asd_edge.scoring.calibration import calibrate_clips, calibrate_hours
from asd_edge.scoring.calibration.sustained import Trace
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.scoring.drift import LIMIT, DriftSpec, DriftState, watch

pytestmark = pytest.mark.once

STEP_S = 4.0  # coarser than real windows, so that months take seconds
MEAN, DEVIATION, FORGETS_S, THRESHOLD = 0.1, 0.03, 60.0, 1.0
SPEC = DriftSpec(start=MEAN, upper=MEAN + LIMIT * DEVIATION, lower=MEAN + LIMIT / 2 * DEVIATION)
NOTHING = DriftState()


def normals(hours: float, *, seed: int = 0, forgets_s: float = FORGETS_S) -> NDArray[np.float64]:
    """Scores as a first-order autoregression that forgets in `forgets_s`, begun in its stationary state."""
    keep = math.exp(-STEP_S / forgets_s)
    rng = np.random.default_rng(seed)
    kicks = rng.standard_normal(round(hours * 3600.0 / STEP_S)) * math.sqrt(1.0 - keep**2)
    kicks[0] /= math.sqrt(1.0 - keep**2)
    return MEAN + DEVIATION * np.asarray(lfilter([1.0], [1.0, -keep], kicks), dtype=np.float64)


def states(scores: NDArray[np.float64], state: DriftState = NOTHING) -> list[DriftState]:
    found = []
    for score in scores.tolist():
        state = watch(SPEC, state, score=score, threshold=THRESHOLD, seconds=STEP_S)
        found.append(state)
    return found


def test_months_of_stationary_sound_propose_nothing() -> None:
    """The average deviates by √(60 / 28,860) = 0.046 deviations; the limit is 11 of that."""
    heard = states(normals(600.0))
    assert not any(state.proposed for state in heard)
    averages = np.array([state.average for state in heard])[round(40 * 3600 / STEP_S) :]  # five memories later
    expected = DEVIATION * math.sqrt(FORGETS_S / (FORGETS_S + SPEC.memory_s))
    # Six hundred hours hold some forty independent averages: the deviation's standard error is 11 %.
    assert averages.std() == pytest.approx(expected, rel=0.35)


def test_a_lasting_rise_is_proposed_once_when_the_formula_says() -> None:
    rise = 1.0  # deviations
    heard = states(normals(24.0, seed=1) + rise * DEVIATION)
    changes = [i for i in range(1, len(heard)) if heard[i].proposed != heard[i - 1].proposed]
    expected_h = SPEC.memory_s / 3600.0 * math.log(rise / (rise - LIMIT))  # 5.5 hours
    assert len(changes) == 1
    # Around the limit the average rises by (1 − ½) / 8 deviations an hour and scatters by 0.046: 0.74 hours.
    assert changes[0] * STEP_S / 3600.0 == pytest.approx(expected_h, abs=3 * 0.74)


def test_a_proposal_is_taken_back_when_normal_sound_returns_and_not_at_the_limit() -> None:
    at_limit = DriftState(average=SPEC.upper, proposed=True)
    assert watch(SPEC, at_limit, score=SPEC.upper - 1e-6, threshold=THRESHOLD, seconds=STEP_S).proposed
    heard = states(normals(48.0, seed=2), at_limit)
    assert not heard[-1].proposed
    assert sum(one.proposed != other.proposed for one, other in pairwise(heard)) == 1


def test_scores_above_the_threshold_are_no_drift_of_normal_sound() -> None:
    quiet = DriftState(average=MEAN)
    for _ in range(10_000):
        assert watch(SPEC, quiet, score=THRESHOLD + 0.5, threshold=THRESHOLD, seconds=STEP_S) == quiet


def test_an_idle_machine_does_not_drift() -> None:
    nearly = DriftState(average=SPEC.upper - 1e-9)
    assert watch(SPEC, nearly, score=None, threshold=THRESHOLD, seconds=1e6) == nearly


def test_the_step_does_not_depend_on_how_often_scores_come() -> None:
    coarse = watch(SPEC, DriftState(), score=0.2, threshold=THRESHOLD, seconds=60.0)
    fine = DriftState()
    for _ in range(60):
        fine = watch(SPEC, fine, score=0.2, threshold=THRESHOLD, seconds=1.0)
    assert fine.average == pytest.approx(coarse.average, rel=1e-9)


def windows(hours: float, *, seed: int) -> NDArray[np.float64]:
    """Scores as windows give them: overlapping means of eight segments that have a memory of 20 s."""
    raw = normals(hours, seed=seed, forgets_s=20.0)
    return np.convolve(raw, np.full(8, 1 / 8), "valid")


@pytest.mark.parametrize("method", ["few_clips", "gamma", "tail"])
def test_stationary_sound_is_no_drift_from_what_calibrated_it(method: str) -> None:
    """Drift is watched in the scores of windows, so they are what its start must be the mean of."""
    decision = DecisionSpec(on_delay_s=60.0, off_delay_s=60.0)  # fifteen windows: held levels lie well below the scores
    heard = windows(1.0 if method == "gamma" else 24.0, seed=5)
    if method == "few_clips":
        clips = [heard[i : i + 30].tolist() for i in range(0, len(heard), 300)]
        known = calibrate_clips(clips, alarms_per_week=1.0, every_s=STEP_S, decision=decision)
    else:
        trace = Trace(STEP_S * np.arange(len(heard)), heard, STEP_S)
        known = calibrate_hours(trace, alarms_per_week=1.0, decision=decision)
    assert known.method == method
    # The error of an hour's mean: σ √(2 · 36 s / 3600 s), a seventh of the deviation; five times that.
    assert known.mean == pytest.approx(MEAN, abs=0.7 * DEVIATION * 0.7)
    assert abs(known.mean - heard.mean()) < 0.15 * DEVIATION
    spec, state = DriftSpec.of(known), DriftState()
    for score in windows(48.0, seed=6).tolist():
        state = watch(spec, state, score=score, threshold=known.threshold, seconds=STEP_S)
        assert not state.proposed


def test_a_few_clips_allow_for_more_than_hours_do() -> None:
    hours = normals(30.0, seed=4)
    known = DriftSpec.of(calibrate_hours(Trace(STEP_S * np.arange(len(hours)), hours, STEP_S), alarms_per_week=1.0))
    assert known.upper == pytest.approx(SPEC.upper, rel=0.1)
    guessed = DriftSpec.of(calibrate_clips([[0.1], [0.12], [0.08]], alarms_per_week=1.0, every_s=STEP_S))
    assert guessed.upper > guessed.lower > 1.5 * MEAN  # three clips hardly know the mean
