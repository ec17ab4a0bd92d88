"""Whether the sound of a live source keeps up with time, and what was lost when it did not."""

from __future__ import annotations

_BREAK_S = 1.0  # shorter ones are a sender that writes in portions
_CATCH_UP_S = 1.0  # for a sender that has kept the sound of a break: it comes at once
_MINUTE_S = 60.0

# A crystal is wrong by 0.01 %. A rate that is off by 1 % is another one than was said: 44,100 for 48,000 are 8 %.
_OFF_RATE = 0.01


class Arrival:
    """Compares how much sound came with how much time has passed. Counts alone, no clock.

    How late sound is (time that has passed less sound that came) stays the same. After a break in which nothing came it
    goes back if the sender kept its sound; if not, as much was lost as it stays higher. Where it moves without a break,
    the rate is another one than was said.
    """

    def __init__(self) -> None:
        self.off_rate = False
        """Whether the sound of the last minute came 1 % slower or faster than its rate says."""
        self._came_s = 0.0
        self._late_s: float | None = None  # the newest was
        self._broken_at: float | None = None  # a break ended then
        self._before_s = 0.0  # how late sound was before it
        self._after_s = 0.0  # how late it has been since, at the least
        self._minute: float | None = None  # the present one began
        self._least_s = 0.0  # how late sound has been in it, at the least: sound comes late by chance, never early
        self._last_least_s: float | None = None  # in the minute before

    def push(self, seconds: float, now: float, waited_s: float = 0.0) -> float:
        """Take note of sound that came now; return the seconds that were lost, by now known to be so.

        Args:
            seconds: that it lasts.
            now: seconds of the monotonic clock.
            waited_s: for it. Time in which nobody asked for it makes no break.
        """
        lost = self._lost(now)
        before = None if self._late_s is None else self._late_s - lost
        self._came_s += seconds + lost
        self._late_s = late_s = now - self._came_s
        if before is not None and waited_s > seconds + _BREAK_S:
            self._broken_at, self._before_s, self._after_s = now, before, late_s
        self._after_s = min(self._after_s, late_s)
        self._judge_rate(now, late_s)
        return lost

    def skip(self, seconds: float) -> None:
        """Take note of sound that is known to be lost before what is pushed next."""
        self._came_s += seconds

    def _lost(self, now: float) -> float:
        if self._broken_at is None or now - self._broken_at < _CATCH_UP_S:
            return 0.0
        self._broken_at = None
        lost = self._after_s - self._before_s
        return lost if lost > _BREAK_S else 0.0

    def _judge_rate(self, now: float, late_s: float) -> None:
        if self._minute is None or self._broken_at is not None:  # a minute with a break says nothing of the rate
            self._minute, self._least_s, self._last_least_s = now, late_s, None
        self._least_s = min(self._least_s, late_s)
        if now - self._minute >= _MINUTE_S:
            if self._last_least_s is not None:
                self.off_rate = abs(self._least_s - self._last_least_s) > _OFF_RATE * _MINUTE_S
            self._minute, self._last_least_s, self._least_s = now, self._least_s, late_s
