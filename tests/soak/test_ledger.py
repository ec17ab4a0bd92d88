"""The judgement of the soak finds what it looks for."""

from __future__ import annotations

from typing import Any

from tests.soak.ledger import Ledger


def score(number: int | None, *, machine: str = "fan", value: float = 0.5) -> dict[str, Any]:
    return {"id": number, "machine": machine, "score": value}


def alarm(number: int, *, active: bool) -> dict[str, Any]:
    return {"id": number, "machine": "fan", "active": active}


def taken(*events: tuple[str, dict[str, Any]]) -> Ledger:
    ledger = Ledger()
    for stream, event in events:
        ledger.take(stream, event)
    return ledger


def test_a_committed_event_that_neither_came_nor_waits_is_lost() -> None:
    assert taken(("live", score(1)), ("history", score(3))).lost(range(1, 6), {5}) == [2, 4]


def test_what_comes_again_the_same_is_no_contradiction_whatever_the_order_of_its_keys() -> None:
    again = dict(reversed(score(1).items()))
    ledger = taken(("live", score(1)), ("live", score(2)), ("history", again))
    assert (ledger.again, ledger.contradictions, ledger.disorder) == (1, [], [])


def test_one_id_with_two_payloads_is_a_contradiction() -> None:
    assert len(taken(("live", score(1)), ("live", score(1, value=0.6))).contradictions) == 1


def test_order_is_a_machines_within_a_stream() -> None:
    fine = taken(("live", score(5)), ("history", score(3)), ("live", score(4, machine="pump")), ("live", score(6)))
    assert fine.disorder == []
    assert len(taken(("live", score(5)), ("live", score(4))).disorder) == 1


def test_an_event_without_an_id_is_counted_and_judged_no_further() -> None:
    ledger = taken(("live", score(None)), ("live", score(None)))
    assert (ledger.uncommitted, ledger.received, ledger.contradictions) == (2, {}, [])


def test_the_alarm_that_stands_is_that_with_the_highest_id_not_the_last_to_come() -> None:
    ledger = taken(
        ("alarms", alarm(2, active=True)), ("alarms", alarm(4, active=False)), ("history", alarm(3, active=True))
    )
    assert ledger.alarms["fan"]["active"] is False
