"""The sound around the begin of an alarm, while it comes in. No thread, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asd_edge.events import AlarmChange, WindowScore
from asd_edge.evidence.recorded import Recorded

_PATIENCE_S = 5.0  # without new sound: the microphone may have gone


class Ring(Protocol):
    """What keeps the newest sound of a machine."""

    def between(self, start: int, stop: int) -> tuple[int, NDArray[np.int16]]:
        """Return what is held of the samples [start, stop) without a gap, and the index of its first one."""
        ...


class Recording:
    """Gathers the sound from `pre_s` before the score first went over the threshold to `post_s` after the alarm began.

    What was before is taken at the first `listen`, and the rest piece by piece: a microphone that dies with its machine
    takes away only what it did not hear. A gap ends the recording; none is ever inside.

    Args:
        alarm: that has begun.
        window: with whose score it began.
        rate: samples a second.
        pre_s: seconds before.
        post_s: seconds after.
        now: seconds of a clock.
    """

    def __init__(
        self, alarm: AlarmChange, window: WindowScore, *, rate: int, pre_s: float, post_s: float, now: float
    ) -> None:
        assert alarm.since is not None  # it begins
        self.alarm = alarm
        self._rate = rate
        self._alarm_at = window.stop
        self._since_at = window.stop - round((alarm.time - alarm.since) * rate)
        self._next = self._start = max(0, self._since_at - round(pre_s * rate))
        self._stop = window.stop + round(post_s * rate)
        self._pieces: list[NDArray[np.int16]] = []
        self._grown = now

    def listen(self, ring: Ring, *, judged: int, now: float) -> bool:
        """Take what the ring holds by now; return whether that is all there will be.

        Args:
            ring: of the machine.
            judged: index of the first sample of which no window is awaited any more.
            now: seconds of the same clock.
        """
        start, samples = ring.between(self._next, self._stop)
        if len(samples):
            if self._pieces and start != self._next:
                return True
            self._start = start if not self._pieces else self._start
            self._pieces.append(samples)
            self._next = start + len(samples)
            self._grown = now
        return (self._next >= self._stop and judged >= self._stop) or now - self._grown > _PATIENCE_S

    def recorded(self, windows: Iterable[WindowScore]) -> Recorded | None:
        """Return what was gathered, with those of the machine's windows that ended in it; None without any sound."""
        if not self._pieces:
            return None
        meanwhile = tuple(window for window in windows if self._start < window.stop <= self._next)
        samples = np.concatenate(self._pieces)
        return Recorded(self.alarm, samples, self._rate, self._start, self._since_at, self._alarm_at, meanwhile)
