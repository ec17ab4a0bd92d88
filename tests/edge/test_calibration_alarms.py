"""What counts as an alarm when a threshold is calibrated: just what the detector raises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_edge.detector import Detector
from asd_edge.events import AlarmChange, WindowScore
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.calibration import Trace, alarms_at, sustained
from asd_edge.scoring.decision import DecisionSpec, DecisionState, decide, interrupt
from asd_edge.sources.block import Block
from tests.edge.sound import RATE, conditions_of, noise, pipeline, tone

SPEC = DecisionSpec(on_delay_s=3.0, off_delay_s=2.0, deadband=0.1)


def trace(seed: int, windows: int = 300) -> Trace:
    """Slowly varying scores with idle windows and gaps."""
    rng = np.random.default_rng(seed)
    scores = np.exp(np.convolve(rng.standard_normal(windows), np.ones(5) / 2.0, "same"))
    scores[rng.random(windows) < 0.03] = np.nan
    gaps = np.where(rng.random(windows) < 0.02, rng.uniform(3.0, 50.0, windows), 0.0)
    return Trace(np.cumsum(1.0 + gaps), scores, 1.0)


def counted_one_by_one(trace: Trace, threshold: float) -> int:
    """The detector's own steps, written out (Detector._judge, _begin)."""
    state, alarms, before = DecisionState(), 0, -np.inf
    for time, score in zip(trace.times.tolist(), trace.scores.tolist(), strict=True):
        if time - before > 1.5:
            state = interrupt(state)
        before = time
        after = (
            interrupt(state) if np.isnan(score) else decide(SPEC, state, score=score, threshold=threshold, time=time)
        )
        alarms += after.active and not state.active
        state = after
    return alarms


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.floats(0.05, 8.0))
def test_alarms_are_those_of_the_decision(seed: int, threshold: float) -> None:
    heard = trace(seed)
    assert len(alarms_at(heard, threshold, SPEC)) == counted_one_by_one(heard, threshold)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.5, 1.5))
def test_there_is_an_alarm_just_where_the_sustained_score_exceeds_the_threshold(seed: int, share: float) -> None:
    heard = trace(seed)
    held = sustained(heard, SPEC)
    threshold = share * float(np.nanmax(held))
    assert bool(alarms_at(heard, threshold, SPEC)) == bool(np.nanmax(held) > threshold)
    for alarm in alarms_at(heard, threshold, SPEC):
        assert held[alarm.start] > threshold  # the alarm begins when the level has been held for the on-delay


def test_the_sustained_score_is_the_minimum_over_the_on_delay() -> None:
    scores = np.array([5.0, 4.0, 6.0, 7.0, 3.0, np.nan, 9.0, 9.0, 9.0, 9.0])
    held = sustained(Trace(np.arange(10.0), scores, 1.0), SPEC)
    np.testing.assert_equal(held, [np.nan, np.nan, np.nan, 4.0, 3.0, np.nan, np.nan, np.nan, np.nan, 9.0])
    apart = sustained(Trace(np.array([0.0, 1.0, 2.0, 9.0, 10.0, 11.0, 12.0]), np.full(7, 2.0), 1.0), SPEC)
    np.testing.assert_equal(apart, [np.nan] * 6 + [2.0])


def test_a_window_of_another_condition_breaks_a_level_and_calms_an_alarm_but_is_no_gap() -> None:
    other = -np.inf
    scores = np.array([5.0, 5.0, 5.0, 5.0, 5.0, other, 5.0, 5.0, 5.0, 5.0, 5.0, other, other, other, 5.0])
    heard = Trace(np.arange(15.0), scores, 1.0)
    held = [np.nan] * 3 + [5.0, 5.0] + [other] * 4 + [5.0, 5.0] + [other] * 4
    np.testing.assert_equal(sustained(heard, SPEC), held)
    assert heard.scored_s == 11.0
    assert alarms_at(heard, 4.0, SPEC) == [slice(3, 14)]  # one window does not end it, the off-delay of three does


@pytest.mark.parametrize("threshold", [0.4, 0.5, 0.6])
def test_the_real_detector_raises_as_many_alarms_as_are_counted_in_its_scores(threshold: float) -> None:
    decision = DecisionSpec(on_delay_s=0.5, off_delay_s=0.5, deadband=0.1)
    sound = noise(40.0)
    for start_s, level in ((5, 0.2), (12, 0.05), (20, 0.3), (21, 0.0), (30, 0.1)):
        part = slice(start_s * RATE, (start_s + 2) * RATE)
        sound[part] += tone(2.0, 3000.0, level=level)
    sound[33 * RATE : 35 * RATE] = 0.0  # the machine stands still
    detector = Detector("m", SegmentStreams(pipeline()), conditions_of(noise(4.0), threshold=threshold), decision)
    blocks = [
        (start, sound[start : start + RATE]) for start in range(0, len(sound), RATE) if start != 25 * RATE
    ]  # a gap
    events = [event for start, part in blocks for event in detector.process(Block(part, start, start / RATE))]
    windows = [event for event in events if isinstance(event, WindowScore)]
    heard = Trace(
        np.array([window.stop / RATE for window in windows]),
        np.array([np.nan if window.score is None else window.score for window in windows]),
        pipeline().score_every_s,
    )
    raised = [event for event in events if isinstance(event, AlarmChange) and event.begins]
    assert len(alarms_at(heard, threshold, decision)) == len(raised) > 0
