"""Whether sound keeps up with time: breaks, portions, crystals and wrong rates, without a clock."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from asd_edge.sources.arrival import Arrival

PIECE_S = 0.25


def pushed(arrivals: Iterable[float], arrival: Arrival | None = None) -> dict[float, float]:
    """When something was found to be lost, and how much, when pieces come at these seconds and are waited for."""
    arrival, before = arrival or Arrival(), 0.0
    found: dict[float, float] = {}
    for now in arrivals:
        lost = arrival.push(PIECE_S, now, now - before)
        before = now
        found |= {now: lost} if lost else {}
    return found


def steady(begin: float, end: float, every_s: float = PIECE_S) -> list[float]:
    return [begin + every_s * n for n in range(round((end - begin) / every_s))]


def test_what_a_sender_that_stood_still_has_not_kept_is_lost() -> None:
    # The piece at 22 s is the one that was due at 10 s.
    assert pushed([*steady(0.0, 10.0), *steady(22.0, 60.0)]) == pytest.approx({23.0: 12.0})


def test_every_break_is_counted_once() -> None:
    found = pushed([*steady(0.0, 10.0), *steady(13.0, 20.0), *steady(25.0, 30.0), *steady(30.9, 40.0)])
    assert found == pytest.approx({14.0: 3.0, 26.0: 5.0})  # 0.9 s is no break


@pytest.mark.parametrize("pause_s", [2.0, 30.0])
def test_what_was_kept_and_comes_at_once_is_not_lost(pause_s: float) -> None:
    resumed = 10.0 + pause_s
    kept = [resumed + 0.001 * n for n in range(round(pause_s / PIECE_S))]
    assert pushed([*steady(0.0, 10.0), *kept, *steady(resumed + PIECE_S, resumed + 60.0)]) == {}


def test_half_of_it_is_kept() -> None:
    kept = [20.0 + 0.001 * n for n in range(20)]  # five of ten seconds
    assert pushed([*steady(0.0, 10.0), *kept, *steady(20.25, 40.0)]) == pytest.approx({21.0: 5.0}, abs=0.3)


def test_a_sender_in_portions_loses_nothing_and_has_the_right_rate() -> None:
    arrival = Arrival()
    portions = [5.0 * portion + 0.001 * n for portion in range(100) for n in range(20)]
    assert pushed(portions, arrival) == {}
    assert not arrival.off_rate


def test_a_listener_that_is_late_makes_no_break() -> None:
    arrival = Arrival()
    for now in [*steady(0.0, 10.0), 15.0, *(15.0 + 0.001 * n for n in range(20)), *steady(15.25, 30.0)]:
        assert arrival.push(PIECE_S, now, waited_s=0.0) == 0.0


@pytest.mark.parametrize(("rate", "off"), [(1.0, False), (1.0002, False), (0.995, False), (0.98, True), (1.09, True)])
def test_a_rate_that_is_off_by_a_hundredth_is_told(rate: float, off: bool) -> None:
    arrival = Arrival()
    assert pushed(steady(0.0, 130.0, PIECE_S / rate), arrival) == {}
    assert arrival.off_rate is off
    pushed(steady(130.0, 260.0), arrival)
    assert not arrival.off_rate


def test_sound_that_is_known_to_be_lost_is_neither_lost_again_nor_a_rate() -> None:
    arrival = Arrival()
    for second in range(300):
        if second % 5 == 4:
            arrival.skip(1.0)
        else:
            for now in steady(float(second), second + 1.0):
                assert arrival.push(PIECE_S, now, waited_s=1.25 if second % 5 == 0 else 0.25) == 0.0
    assert not arrival.off_rate
