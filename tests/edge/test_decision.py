"""The decision as a pure step: hold times, deadband, and what must never happen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asd_edge.scoring.decision import DecisionSpec, DecisionState, decide, interrupt

SPEC = DecisionSpec(on_delay_s=3.0, off_delay_s=5.0, deadband=0.2)


def alarms(scores: list[float | None], spec: DecisionSpec = SPEC) -> list[bool]:
    """Feed one score a second against the threshold 1.0; None is a window without a score."""
    state, active = DecisionState(), []
    for time, score in enumerate(scores):
        state = interrupt(state) if score is None else decide(spec, state, score=score, threshold=1.0, time=float(time))
        active.append(state.active)
    return active


def test_an_alarm_begins_after_the_on_delay_and_not_before() -> None:
    assert alarms([2.0] * 5) == [False, False, False, True, True]


def test_one_calm_score_starts_the_on_delay_again() -> None:
    assert not any(alarms([2.0, 2.0, 2.0, 0.5, 2.0, 2.0, 2.0]))


def test_a_score_equal_to_the_threshold_is_normal() -> None:
    assert not any(alarms([1.0] * 20))


def test_an_alarm_ends_after_the_off_delay_below_the_lower_limit() -> None:
    assert alarms([2.0] * 4 + [0.8] * 6)[-2:] == [True, False]


def test_between_the_limits_an_alarm_neither_begins_nor_ends() -> None:
    assert alarms([2.0] * 4 + [0.9] * 60)[-1]
    assert not any(alarms([0.9] * 60))


def test_without_delays_the_alarm_follows_the_score() -> None:
    spec = DecisionSpec(on_delay_s=0.0, off_delay_s=0.0, deadband=0.0)
    assert alarms([2.0, 0.5, 2.0], spec) == [True, False, True]


def test_hold_times_do_not_run_on_through_a_pause() -> None:
    night: list[float | None] = [None] * 100
    assert not any(alarms([2.0, 2.0, *night, 2.0, 2.0]))
    assert all(alarms([2.0] * 4 + [0.5, *night, 0.5])[3:])


@given(st.lists(st.none() | st.floats(0.0, 3.0), max_size=60))
def test_an_alarm_changes_only_after_scores_that_say_so_throughout_the_delay(scores: list[float | None]) -> None:
    active = alarms(scores)
    for i, now in enumerate(active):
        began = now and (i == 0 or not active[i - 1])
        ended = not now and i > 0 and active[i - 1]
        if began:
            assert all(s is not None and s > 1.0 for s in scores[i - 3 : i + 1])
        if ended:
            assert all(s is not None and s <= 0.8 for s in scores[i - 5 : i + 1])
