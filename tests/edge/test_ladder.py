"""What is done about a lost source and a faulty microphone: the ladder's steps, without a clock."""

from __future__ import annotations

import pytest

from asd_edge.daemon.listening.ladder import Ladder, Renewal, fail, hear, quiet, renew, used_up

LOST_AT = 1000.0


def after(failures: int) -> Ladder:
    ladder = Ladder(sound_at=LOST_AT)
    for _ in range(failures):
        ladder = fail(ladder)
    return ladder


def test_attempts_come_at_once_then_ever_more_rarely() -> None:
    assert [after(failures).pause_s for failures in range(1, 10)] == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert after(10_000).pause_s == 30


@pytest.mark.parametrize(
    ("failures", "seconds", "is_failure"),
    [(1, 0.0, False), (2, 9.9, False), (3, 0.0, True), (1, 10.0, True), (0, 10.0, True), (0, 9.9, False)],
)
def test_three_failures_or_ten_seconds_are_a_failure(failures: int, seconds: float, is_failure: bool) -> None:
    assert used_up(after(failures), LOST_AT + seconds) == is_failure


def test_only_steady_sound_forgives_failures() -> None:
    flapping = after(3)
    for second in range(100):  # a device that gives one block and dies
        flapping = fail(hear(flapping, LOST_AT + second, float(second)))
    assert flapping.failures == 103
    steady = flapping
    for second in range(11):
        assert used_up(steady, LOST_AT)
        steady = hear(steady, LOST_AT + 100 + second, 200.0 + second)
    assert steady.failures == 0
    assert not used_up(steady, LOST_AT + 110)
    assert fail(steady).pause_s == 0.0


def test_sound_that_stays_away_is_noticed_without_any_failure() -> None:
    ladder = hear(Ladder(sound_at=LOST_AT), LOST_AT + 5.0, 0.0)
    assert not quiet(ladder, LOST_AT + 14.9)
    assert quiet(ladder, LOST_AT + 15.0)


def renewals(faults: list[tuple[str, ...]]) -> list[int]:
    """The seconds at which the device is opened afresh, when each of these is there for a second."""
    renewal, seconds = Renewal(), []
    for second, present in enumerate(faults):
        renewal, due = renew(renewal, present, float(second))
        seconds += [second] if due else []
    return seconds


def test_a_fault_that_stays_opens_the_device_afresh_once() -> None:
    assert renewals([()] * 5 + [("silent",)] * 1000) == [15]
    assert renewals([("stuck",)] * 20 + [()] + [("stuck", "dc_offset")] * 20) == [10, 31]


@pytest.mark.parametrize("fault", ["dc_offset", "same_as_channel_1"])
def test_what_reopening_cannot_mend_is_left_alone(fault: str) -> None:
    assert renewals([(fault,)] * 100) == []


def test_a_fault_that_passes_is_left_alone() -> None:
    assert renewals([("silent",)] * 9 + [()]) == []
    assert renewals(([("silent",)] * 9 + [()]) * 10) == []
