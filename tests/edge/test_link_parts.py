"""The rules of the link, without a socket and without a clock."""

from __future__ import annotations

import pytest

from asd_edge.sinks.link.mqtt_client import CLOSED_AT_ONCE
from asd_edge.sinks.link.patience import AwakeClock, Unanswered
from asd_edge.sinks.link.troubles import trouble_of
from asd_edge.sinks.link.turns import Turns


def test_pauses_grow_to_a_minute_and_each_round_tries_all_servers() -> None:
    turns, now, tried, pauses = Turns(3), 0.0, [], []
    for _ in range(30):
        tried.append(turns.server)
        turns.failed(now)
        pauses.append(turns.at - now)
        now = turns.at
    assert tried == [0, 1, 2] * 10
    assert all(pause == 0.0 for number, pause in enumerate(pauses) if number % 3 != 2)
    rounds = pauses[2::3]
    for pause, longest in zip(rounds, [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0, 60.0], strict=True):
        assert longest / 2 <= pause <= longest


def test_a_connection_that_stood_leads_back_to_the_first_server_after_a_short_pause() -> None:
    turns = Turns(2)
    for _ in range(11):
        turns.failed(0.0)
    assert turns.server == 1
    turns.stands()
    assert turns.server == 1  # whoever stands stays
    turns.lost(100.0)
    assert turns.server == 0
    assert 101.0 <= turns.at <= 102.0


def test_the_clock_leaves_out_what_the_process_did_not_live_through() -> None:
    clock = AwakeClock()
    clock.tick(50.0)
    for step in range(1, 9):
        clock.tick(50.0 + step / 4)
    assert clock.now == pytest.approx(2.0)
    clock.tick(5_000.0)
    assert clock.now == pytest.approx(3.0)


def test_a_broker_is_waited_for_from_its_last_answer_to_the_oldest() -> None:
    unanswered = Unanswered()
    assert unanswered.waited_s(100.0) == 0.0
    for number in (7, 8, 9):
        unanswered.sent(number, f"topic-{number}", 100.0 + number)
    assert unanswered.waited_s(120.0) == 13.0
    assert unanswered.answered(7, 120.0) == "topic-7"  # slow, but not silent
    assert unanswered.waited_s(125.0) == 5.0
    unanswered.answered(9, 126.0)  # 8 is passed over
    unanswered.answered(5, 126.0)
    assert unanswered.waited_s(130.0) == 10.0
    unanswered.answered(8, 131.0)
    assert unanswered.waited_s(200.0) == 0.0
    unanswered.sent(1, "topic", 300.0)
    assert unanswered.waited_s(301.0) == 1.0


@pytest.mark.parametrize(
    ("end", "accepted", "says"),
    [
        ("Session taken over", True, "another client connects as asd-edge-box"),
        ("Session taken over", True, "another device with this id"),
        ("Packet too large", True, "larger packets"),
        (CLOSED_AT_ONCE, False, "under [sparkplug] (8883 usually wants TLS"),
        ("Connection refused", False, "Start the broker"),
        ("Keep alive timeout", True, "the broker's log"),
        ("Unspecified error", True, "the connection broke"),
        ("Unspecified error", True, "something else connects as asd-edge-box"),
    ],
)
def test_every_end_says_what_to_do(end: str, accepted: bool, says: str) -> None:
    trouble = trouble_of(end, accepted=accepted, client_id="asd-edge-box", name="sparkplug")
    assert says in " ".join(trouble)
    assert end in trouble.found or trouble.found == "the connection broke"
