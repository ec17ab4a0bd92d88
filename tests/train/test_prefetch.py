"""What a background thread makes arrives in order, with its error, and the thread ends with its reader."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from asd_train.features.prefetch import prefetch


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_items_arrive_in_order() -> None:
    assert list(prefetch(range(100))) == list(range(100))
    assert not running()


def test_they_are_made_before_they_are_asked_for_but_not_all() -> None:
    made, third = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 3:
                third.set()
            yield number

    reader = prefetch(items(), ahead=2)
    assert next(reader) == 0
    assert third.wait(10.0)  # two wait in the queue, one in the hands of the thread; nobody asked for them
    assert len(made) == 4
    reader.close()  # type: ignore[attr-defined]  # a generator
    assert not running()


def test_an_error_is_raised_where_its_item_would_have_been() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    reader = prefetch(items())
    assert next(reader) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(reader)
    assert not running()
