"""What is done about a source that is lost, and about a microphone that stays faulty. Pure steps, no clock.

A source that fails is opened again at once, then after ever longer pauses. It is a failure when that has not helped
three times, or when there has been no sound for ten seconds; whatever is over before is a gap and no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_PATIENCE_S = 10.0
_FAILURES = 3
_STEADY_S = 10.0  # a device that gives a block and dies has not come back
_LONGEST_PAUSE_S = 30.0
_LASTS_S = 10.0
_MENDED_BY_REOPENING = {"silent", "stuck"}  # a USB device that hangs; no wiring and no overload is


@dataclass(frozen=True, slots=True)
class Ladder:
    """`sound_at`: when there was sound last, or the daemon began to wait for it, by the monotonic clock.
    `failures`: since it was steady.
    `steady_since`: the second of sound at which it began to come without a failure; None while it does not.
    """

    sound_at: float
    failures: int = 0
    steady_since: float | None = None

    @property
    def pause_s(self) -> float:
        """Seconds until the next attempt: 0, 1, 2, 4 … 30."""
        return 0.0 if self.failures <= 1 else min(2.0 ** min(self.failures - 2, 8), _LONGEST_PAUSE_S)


def hear(ladder: Ladder, now: float, second: float) -> Ladder:
    """Return the ladder after a block of sound that begins at this second of it."""
    since = second if ladder.steady_since is None else ladder.steady_since
    return Ladder(now, 0 if second - since >= _STEADY_S else ladder.failures, since)


def fail(ladder: Ladder) -> Ladder:
    """Return the ladder after the source has failed, or could not be opened."""
    return replace(ladder, failures=ladder.failures + 1, steady_since=None)


def used_up(ladder: Ladder, now: float) -> bool:
    """Say whether this is a failure by now."""
    return ladder.failures >= _FAILURES or quiet(ladder, now)


def quiet(ladder: Ladder, now: float) -> bool:
    """Say whether there has been no sound for too long."""
    return now - ladder.sound_at >= _PATIENCE_S


@dataclass(frozen=True, slots=True)
class Renewal:
    """`since`: second of sound at which a fault was there that reopening may mend. `tried`: whether it was done."""

    since: float | None = None
    tried: bool = False


def renew(renewal: Renewal, faults: tuple[str, ...], second: float) -> tuple[Renewal, bool]:
    """Take the faults at a second of sound; say whether the device is to be opened afresh: once for a fault."""
    if _MENDED_BY_REOPENING.isdisjoint(faults):
        return Renewal(), False
    since = second if renewal.since is None else renewal.since
    due = not renewal.tried and second - since >= _LASTS_S
    return Renewal(since, renewal.tried or due), due
