"""The demo's plot: what the machine is told to do, and what must be seen before the next chapter. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asd_edge.demo.story import Point
from asd_edge.errors import AsdEdgeError
from asd_edge.simulator import OperatingState

CONDITION = "shifted"
"""Name of the condition that the demo enrolls."""

QUIET_SCORES = 8
"""This many scores in a row below their thresholds, without an alarm, count as quiet."""


class DemoError(AsdEdgeError):
    """Something that the demo promises did not happen."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One part of the plot.

    Args:
        label: for the picture, short.
        title: for the terminal.
        machine: what the machine is told when the chapter begins.
        enroll: the condition in `machine` is enrolled when the chapter begins; only scores of that condition are quiet.
        until: what must be seen.
        linger: how many more scores are then watched, so that people see it too; quiet must last as long.
        within_s: seconds on the wall clock in which it must be seen, for a patience of 1.
    """

    label: str
    title: str
    machine: OperatingState
    until: Literal["quiet", "alarm"]
    enroll: bool = False
    linger: int = 6
    within_s: float = 20.0


NORMAL = OperatingState(speed=1.0, load=0.5)
SHIFTED = OperatingState(speed=1.4, load=0.9)
FAULTY = OperatingState(speed=1.4, load=0.9, fault="tooth_damage", severity=1.0)

PLOT: tuple[Chapter, ...] = (
    Chapter("normal", "running normally", NORMAL, until="quiet"),
    Chapter("new condition", "new operating condition: false alarm", SHIFTED, until="alarm"),
    Chapter("enrolled", "enrolling that condition: quiet again", SHIFTED, until="quiet", enroll=True, within_s=30.0),
    Chapter("fault", "a tooth of a gear breaks: alarm", FAULTY, until="alarm", linger=12),
    Chapter("repaired", "repaired: the alarm ends", SHIFTED, until="quiet", within_s=30.0),
)


class Director:
    """Walks through a plot by what it is shown; it has no clock and touches nothing.

    Times are seconds on any monotonic clock, always given by the caller; `patience` stretches what the chapters
    allow.
    """

    def __init__(self, plot: tuple[Chapter, ...], *, now: float, patience: float = 1.0) -> None:
        self._plot = plot
        self._patience = patience
        self._index = 0
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._began = now
        self._run = 0  # scores that count towards the chapter's end

    @property
    def chapter(self) -> Chapter:
        """The chapter that is playing; the last one stays when the plot is over."""
        return self._plot[min(self._index, len(self._plot) - 1)]

    @property
    def number(self) -> int:
        """Its index; the number of chapters when the plot is over."""
        return self._index

    @property
    def over(self) -> bool:
        """Whether everything has been seen."""
        return self._index == len(self._plot)

    def watch(self, point: Point, *, alarm: bool, now: float) -> bool:
        """Look at a score and at whether an alarm stands; return whether the next chapter (or the end) begins."""
        if self.over:
            return False
        if self.chapter.until == "quiet":
            self._run = 0 if alarm or not self._quiet(point) else self._run + 1
            wanted = QUIET_SCORES + self.chapter.linger
        else:  # an alarm may end while people still look at it
            self._run += alarm or self._run > 0
            wanted = 1 + self.chapter.linger
        if self._run < wanted:
            return False
        self._index += 1
        self._begin(now)
        return True

    def _quiet(self, point: Point) -> bool:
        known = point.condition == CONDITION or not self.chapter.enroll
        return known and point.score is not None and not point.over

    def check(self, *, now: float) -> None:
        """Look at the clock.

        Raises:
            DemoError: the chapter has not shown what it promised in time.
        """
        allowed_s = self.chapter.within_s * self._patience
        if now - self._began > allowed_s and not self.over:
            awaited = {"alarm": "an alarm", "quiet": "scores below the threshold and no alarm"}
            raise DemoError(
                f"The demo's chapter {self._index + 1}, “{self.chapter.title}”, did not happen",
                found=f"not within {allowed_s:.0f} s",
                expected=awaited[self.chapter.until],
                remedy="Try a lower --speed on a slow machine; if it stays so, the bundle does not hear this.",
            )
