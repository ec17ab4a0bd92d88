"""An alarm and its severity and suppression as pure steps: contracts over anything that may be heard."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asd_edge.events import AlarmCause, Suppression
from asd_edge.scoring.alarm import SEVERITY_STEP, AlarmState, cause_of, scored, severity_of, standing, unscored
from asd_edge.scoring.decision import DecisionSpec

SPEC = DecisionSpec(on_delay_s=3.0, off_delay_s=5.0, deadband=0.2, severity=400)
ON, OFF = 3, 5  # windows; one a second
GAP, STOPPED, MICROPHONE = "gap", "stopped", "microphone"
Heard = float | str
"""A score against the threshold 1, or why there is none."""

# Runs, because single windows drawn one by one hardly ever stay over a threshold for a delay.
scores = st.sampled_from([0.0, 0.5, 0.8, 0.81, 1.0]) | st.floats(0.0, 4.0)
kinds = st.sampled_from([2.0, 0.5, STOPPED, MICROPHONE, GAP]) | scores
anything = st.lists(st.tuples(kinds, st.integers(1, 9)), max_size=14)
silences = st.lists(st.tuples(st.sampled_from([STOPPED, MICROPHONE, GAP, 2.0]), st.integers(1, 6)), max_size=14)
ALARM = (2.0, ON + 1)
INTERRUPTED = [ALARM, (STOPPED, 4), (GAP, 1), (STOPPED, 4), (MICROPHONE, 4), (2.0, 1), (STOPPED, 4)]
PAUSED = [(2.0, 2), (STOPPED, 3), (2.0, 2), ALARM, (0.5, 3), (MICROPHONE, 3), (0.5, 3), (GAP, 1), (0.5, 3)]
runs = anything | (anything | silences).map(lambda more: [ALARM, *more])  # the rest of an alarm


def windows(runs: list[tuple[Heard, int]]) -> list[Heard]:
    return [kind for kind, length in runs for _ in range(length)]


@dataclass(frozen=True)
class Step:
    heard: Heard
    state: AlarmState
    cause: AlarmCause | None


def steps(heard: list[Heard], state: AlarmState | None = None, spec: DecisionSpec = SPEC) -> list[Step]:
    before = state or AlarmState()
    told = []
    for time, window in enumerate(heard):
        if isinstance(window, str):
            reasons: dict[str, Suppression | None] = {GAP: None, STOPPED: "stopped", MICROPHONE: "microphone"}
            after = unscored(spec, before, reasons[window], time=float(time))
        else:
            after = scored(spec, before, score=window, threshold=1.0, time=float(time))
        told.append(Step(window, after, cause_of(before, after)))
        before = after
    return told


def over(window: Heard) -> bool:
    return not isinstance(window, str) and window > 1.0


def calm(window: Heard) -> bool:
    return not isinstance(window, str) and window <= 1.0 - SPEC.deadband


@given(runs)
@example(PAUSED)
@example(INTERRUPTED)
def test_an_alarm_begins_and_ends_only_after_the_whole_delay_was_heard(drawn: list[tuple[Heard, int]]) -> None:
    told = steps(windows(drawn))
    active = [False, *(step.state.active for step in told)]
    for i, (before, now) in enumerate(pairwise(active)):
        if now and not before:
            assert i >= ON
            assert all(over(step.heard) for step in told[i - ON : i + 1])
        if before and not now:
            assert all(calm(step.heard) for step in told[i - OFF : i + 1])


@given(runs)
def test_an_alarm_begins_and_ends_as_soon_as_the_delay_was_heard(drawn: list[tuple[Heard, int]]) -> None:
    told = steps(windows(drawn))
    for i, step in enumerate(told):
        if i >= ON and all(over(other.heard) for other in told[i - ON : i + 1]):
            assert step.state.active
        if i >= OFF and all(calm(other.heard) for other in told[i - OFF : i + 1]):
            assert not step.state.active


@given(runs)
def test_what_has_no_score_begins_and_ends_no_alarm(drawn: list[tuple[Heard, int]]) -> None:
    told = steps(windows(drawn))
    for before, after in pairwise(told):
        if isinstance(after.heard, str):
            assert after.state.active == before.state.active
            assert after.cause in (None, "suppression")


@given(runs)
@example(PAUSED)
@example(INTERRUPTED)
def test_a_standing_alarm_is_suppressed_after_the_off_delay_and_until_the_next_score(
    drawn: list[tuple[Heard, int]],
) -> None:
    told = steps(windows(drawn))
    for i, (before, after) in enumerate(pairwise(told), start=1):
        lasted = i >= OFF and len({step.heard for step in told[i - OFF : i + 1]}) == 1
        if not after.state.active or not isinstance(after.heard, str):
            assert after.state.suppressed is None
        elif lasted and after.heard != GAP and told[i - OFF].state.active:
            assert after.state.suppressed == after.heard
        elif after.state.suppressed != before.state.suppressed:
            assert lasted
            assert after.heard == after.state.suppressed


@given(runs)
def test_severity_never_falls_while_an_alarm_stands_and_is_told_in_steps(drawn: list[tuple[Heard, int]]) -> None:
    severity, times = None, 0
    for step in steps(windows(drawn)):
        if not step.state.active:
            assert step.state.severity is None
            severity, times = None, 0
            continue
        assert step.state.severity is not None
        if severity is None:
            assert not isinstance(step.heard, str)
            assert step.state.severity == severity_of(SPEC, score=step.heard, threshold=1.0)
        elif step.state.severity != severity:
            assert step.state.severity >= severity + SEVERITY_STEP
            assert step.cause in ("severity", "suppression")
            times += 1
        severity = step.state.severity
        assert times <= 9


@given(runs)
def test_an_alarm_that_an_earlier_detector_left_goes_on_as_if_it_had_begun_here(drawn: list[tuple[Heard, int]]) -> None:
    begin: list[Heard] = [2.0] * (ON + 1)
    begun = steps(begin)[-1].state
    assert begun.severity is not None
    left = steps(windows(drawn), standing(begun.severity, None))
    here = steps(begin + windows(drawn))[len(begin) :]
    assert [(step.state.active, step.state.severity, step.cause) for step in left] == [
        (step.state.active, step.state.severity, step.cause) for step in here
    ]


def test_an_alarm_that_was_left_suppressed_is_not_told_to_be_so_again() -> None:
    told = steps([STOPPED] * 20 + [2.0], standing(800, "stopped"))
    assert [step.cause for step in told] == [None] * 20 + ["suppression"]


def test_a_machine_that_cycles_within_the_off_delay_makes_no_chatter() -> None:
    told = steps([2.0] * 4 + [STOPPED, STOPPED, STOPPED, 2.0] * 20)
    assert [step.cause for step in told if step.cause is not None] == ["sound"]


def test_a_stopped_machine_is_told_once_and_once_when_it_is_heard_again() -> None:
    told = steps([2.0] * 4 + [STOPPED] * 60 + [2.0] * 60)
    assert [(step.cause, step.state.suppressed) for step in told if step.cause is not None] == [
        ("sound", None),
        ("suppression", "stopped"),
        ("suppression", None),
    ]


def test_without_an_off_delay_the_first_window_without_a_score_suppresses() -> None:
    spec = DecisionSpec(on_delay_s=0.0, off_delay_s=0.0)
    told = steps([2.0, STOPPED, MICROPHONE, GAP, 2.0], spec=spec)
    assert [step.state.suppressed for step in told] == [None, "stopped", "microphone", "microphone", None]


@pytest.mark.parametrize(
    ("score", "threshold", "severity"),
    [
        (1.0, 1.0, 400),
        (2.0, 1.0, 700),
        (4.0, 1.0, 850),
        (0.08, 0.01, 925),
        (0.9, 1.0, 400),
        (0.0, 1.0, 400),
        (1e300, 1e-300, 1000),
        (1.0, 0.0, 1000),
    ],
)
def test_each_doubling_of_the_score_halves_what_is_missing_to_the_highest_severity(
    score: float, threshold: float, severity: int
) -> None:
    assert severity_of(SPEC, score=score, threshold=threshold) == severity


def test_real_faults_of_one_to_five_times_the_threshold_differ_and_none_is_at_the_end_of_the_scale() -> None:
    told = [severity_of(DecisionSpec(), score=1.0 + tenth / 10, threshold=1.0) for tenth in range(41)]
    assert len(set(told)) == len(told)
    assert told[-1] - told[0] > 500
    assert told[-1] < 900


@given(st.floats(0.0, 1e300), st.floats(0.0, 1e300), st.integers(1, 1000))
def test_severity_is_one_that_opc_ua_knows(score: float, threshold: float, at_threshold: int) -> None:
    severity = severity_of(DecisionSpec(severity=at_threshold), score=score, threshold=threshold)
    assert isinstance(severity, int)
    assert 1 <= severity <= 1_000
