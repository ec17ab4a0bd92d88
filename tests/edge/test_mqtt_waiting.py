from __future__ import annotations

from asd_edge.sinks.waiting import Waiting

from asd_edge.sinks.payloads import Message


def score(number: int) -> Message:
    return Message("score", str(number).encode())


def alarm(number: int) -> Message:
    return Message("alarm", str(number).encode(), retain=True)


def drain(waiting: Waiting) -> list[int]:
    return [int(waiting.take().payload) for _ in range(len(waiting))]


def test_messages_leave_in_the_order_they_came() -> None:
    waiting = Waiting(3)
    assert [waiting.add(message) for message in (score(1), alarm(2), score(3))] == [0, 0, 0]
    assert drain(waiting) == [1, 2, 3]


def test_the_oldest_score_is_given_up_first() -> None:
    waiting = Waiting(3)
    dropped = [waiting.add(message) for message in (alarm(1), score(2), score(3), score(4), alarm(5))]
    assert dropped == [0, 0, 0, 1, 1]
    assert drain(waiting) == [1, 4, 5]


def test_with_alarms_only_the_newest_stay() -> None:
    waiting = Waiting(2)
    assert sum(waiting.add(alarm(number)) for number in range(5)) == 3
    assert drain(waiting) == [3, 4]
