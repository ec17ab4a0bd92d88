"""How often something may happen."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class RateLimit:
    """At most `count` times in any `period_s` seconds of `clock`, which never goes back."""

    def __init__(self, count: int, period_s: float, clock: Callable[[], float]) -> None:
        self._period_s = period_s
        self._clock = clock
        self._times: deque[float] = deque(maxlen=count)

    def allow(self) -> bool:
        """Say whether it may happen once more now; if so it counts."""
        now = self._clock()
        if len(self._times) == self._times.maxlen and now - self._times[0] < self._period_s:
            return False
        self._times.append(now)  # the oldest of a full deque falls out
        return True
