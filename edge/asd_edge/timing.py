"""Time of several things in one run, taken in turns, so that a noisy machine disturbs all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import TypeVar

Name = TypeVar("Name")

TURN_S = 0.05
"""A turn: a thing that takes less is run again within it, so that it finds its own data in the caches, as it would
if it ran alone, and not those of the things before it."""


@dataclass(frozen=True, slots=True)
class Time:
    """Median of some turns and its spread, seconds a run: `deviation` is the median absolute deviation from it."""

    median: float
    deviation: float


def in_turns(
    things: Mapping[Name, Callable[[], object]],
    *,
    seconds: float,
    least: int = 5,
    clock: Callable[[], float] = process_time,
) -> dict[Name, Time]:
    """Run each thing in turn, again and again, for about `seconds` in all; return its time by name.

    Each has at least `least` turns. The usual `clock` is the CPU time of all threads, in which what others do on this
    machine does not count; what waits for an accelerator takes `perf_counter`.
    """
    again = {}
    for name, thing in things.items():
        thing()  # caches, and what is allocated once
        again[name] = max(1, round(TURN_S / max(_taken(thing, 1, clock), 1e-6)))
    taken: dict[Name, list[float]] = {name: [] for name in things}
    began = perf_counter()
    while perf_counter() - began < seconds or min(map(len, taken.values())) < least:
        for name, thing in things.items():
            taken[name].append(_taken(thing, again[name], clock))
    return {name: _time(times) for name, times in taken.items()}


def _taken(thing: Callable[[], object], count: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(count):
        thing()
    return (clock() - start) / count


def _time(times: list[float]) -> Time:
    median = statistics.median(times)
    return Time(median, statistics.median(abs(time - median) for time in times))
