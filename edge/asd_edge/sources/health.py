"""Whether a microphone is to be believed: one channel's sound, examined second by second at the device's own rate.

Faults say that the sound is not the machine's; warnings that somebody should look. docs/microphones.md lists them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.config import MicrophoneTable
from asd_edge.sources.examination import Second, examine, same_sound

_SOON_S = 2  # a dead microphone must be known before an alarm may begin
_BACK_S = 5
KNOWN_WITHIN_S = 4.0
"""A microphone that begins to be silent, stuck or offset has the fault by then: it begins within a second, two more
must have it, and the last is left for the blocks that are under way."""

_LASTING_S = 10  # a bang, a start, somebody who taps the housing: all shorter
_SURELY_S = 60  # two machines may well sound alike for some seconds

# Overload: a warning and never a fault, for a machine that begins to roar is what alarms are for. Clipping Gaussian
# sound of deviation σ at c = full scale / σ hits the share 2·Q(c) of its samples and leaves a distortion of
# 2·[(1 + c²)·Q(c) − c·φ(c)] of its power (φ, Q: density and upper tail of the normal distribution): 0.1 % of the
# samples ↔ 39 dB below the sound.
_CLIPPED_WARNING = 0.001

# An offset d, as a part of full scale, takes 20·log10(1 − d) of the headroom: 0.9 dB at 0.1, a sign that something
# ages; 6 dB at 0.5, where the input is defective: no sound has that for a second.
_DC_WARNING = 0.1
_DC_FAULT = 0.5

# The floor: the level that 5 % of the seconds of ten minutes stay below, and the lowest of these over a week, for a
# machine that runs hides its microphone's noise, and most of them pause once a week. A rise by 10 dB is ten times the
# noise power [ours]. A fall is no sign of anything: the first week may have been the loud one.
_SLOT_S = 600
_WEEK_SLOTS = 7 * 144
_FLOOR_SHARE = 0.05
_RISE_DB = 10.0

_TO_DO = {
    "silent": "check that it is plugged in, switched on and not muted",
    "stuck": "check its cable, converter and driver",
    "dc_offset": "check its supply and its input",
    "same_as": "check which of the two is plugged in where",
    "clipping": "turn its gain down, then enroll again",
    "noise_floor": "check its cable, its supply and whether it is wet",
    "rate": "set source_rate to what it really gives, or see whether the computer keeps up",
}


@dataclass(frozen=True, slots=True)
class MicrophoneReport:
    """How one machine's microphone does.

    `level_dbfs`, `clipped_share`, `dc` (parts of full scale): of the last second; None before the first one.
    `floor_dbfs`: the lowest level of the last week; None in the first ten minutes.
    `overruns`: times that sound was lost while the source was open. `reopened`: times that it was opened again.
    `lost_s`: seconds of sound lost to either.
    `faults`: why the sound is not to be believed. `warnings`: why somebody should look.
    `unusable_file`: which file of a watched folder was the last, and could not be used, and why.
    """

    level_dbfs: float | None = None
    floor_dbfs: float | None = None
    clipped_share: float | None = None
    dc: float | None = None
    overruns: int = 0
    reopened: int = 0
    lost_s: float = 0.0
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unusable_file: str | None = None

    @property
    def trouble(self) -> str | None:
        """What is wrong, and what to do, in a line; None when nothing is."""
        names = self.faults or self.warnings
        to_do = [_TO_DO[kind] for name in names if (kind := name.partition("_channel_")[0]) in _TO_DO]
        said = [f"The microphone: {', '.join(names)}; do: {'; '.join(to_do)}"] if to_do else []
        said += [self.unusable_file] if self.unusable_file is not None and "unusable_file" in names else []
        return "; ".join(said) or None


class MicrophoneHealth:
    """Examines the sound of one machine's microphone, through all openings of its source.

    Used in one thread; another one may read `report`.

    Args:
        table: when the microphone is not to be believed.
    """

    def __init__(self, table: MicrophoneTable) -> None:
        self.report = MicrophoneReport()
        """How it does: another value whenever something has changed."""
        self._table = table
        self._second = np.zeros(0, np.int16)
        self._filled = 0
        self._floor = NoiseFloor()
        self._faults: dict[str, Lasting] = {}
        self._warnings: dict[str, Lasting] = {}
        self._off_rate = False
        self._unusable: str | None = None
        self._last: Second | None = None
        self._overruns, self._reopened, self._lost_s = 0, 0, 0.0

    def hear(
        self, pcm: NDArray[np.int16], *, rate: int, channel: int = 0, others: Sequence[int] = ()
    ) -> tuple[str, ...]:
        """Take the next samples of the device; return the faults as they stand.

        Args:
            pcm: int16 [n, channels].
            rate: samples a second.
            channel: the machine's.
            others: channels of other machines.
        """
        if len(self._second) != rate:
            self._second, self._filled = np.zeros(rate, np.int16), 0
        own, done = pcm[:, channel], 0
        while done < len(own):
            part = own[done : done + rate - self._filled]
            self._second[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            done += len(part)
            if self._filled == rate:
                self._filled = 0
                same = same_sound(pcm, channel, others)
                self._judge(examine(self._second), {other: other in same for other in others})
        return self.report.faults

    def lose(self, seconds: float) -> None:
        """Count sound that was lost while the source was open."""
        self._overruns += 1
        self._lost_s += seconds
        self._tell()

    def reopen(self, lost_s: float) -> None:
        """Count that the source is heard again, and what was lost meanwhile."""
        self._reopened += 1
        self._lost_s += lost_s
        self._tell()

    def off_rate(self, found: bool) -> None:
        """Take note of whether the sound comes at another rate than was said."""
        if found != self._off_rate:
            self._off_rate = found
            self._tell()

    def unusable_file(self, why: str | None) -> None:
        """Take note of why the last file of a watched folder could not be used; None when it could."""
        if why != self._unusable:
            self._unusable = why
            self._tell()

    def _judge(self, second: Second, same: Mapping[int, bool]) -> None:
        self._last = second
        silent = second.level_dbfs < self._table.silent_below_dbfs
        lasting(self._faults, "silent", silent, _SOON_S, _BACK_S)
        lasting(self._faults, "stuck", second.stuck, _SOON_S, _BACK_S)
        lasting(self._faults, "dc_offset", abs(second.dc) >= _DC_FAULT, _SOON_S, _BACK_S)
        for other, alike in same.items():
            lasting(self._faults, f"same_as_channel_{other}", alike, _SURELY_S, _SURELY_S)
        lasting(self._warnings, "clipping", second.clipped_share >= _CLIPPED_WARNING, _LASTING_S, _LASTING_S)
        lasting(self._warnings, "dc_offset", abs(second.dc) >= _DC_WARNING, _LASTING_S, _LASTING_S)
        if not silent and not any(fault.stands for fault in self._faults.values()):
            self._floor.push(second.level_dbfs)
        self._tell()

    def _tell(self) -> None:
        faults = _standing(self._faults)
        warnings = [name for name in _standing(self._warnings) if name not in faults]
        warnings += ["noise_floor"] if self._floor.risen else []
        warnings += ["rate"] if self._off_rate else []
        warnings += ["unusable_file"] if self._unusable is not None else []
        last, floor = self._last, self._floor.lowest_dbfs
        self.report = MicrophoneReport(
            level_dbfs=None if last is None else round(last.level_dbfs, 2),
            floor_dbfs=None if floor is None else round(floor, 2),
            clipped_share=None if last is None else round(last.clipped_share, 6),
            dc=None if last is None else round(last.dc, 6),
            overruns=self._overruns,
            reopened=self._reopened,
            lost_s=round(self._lost_s, 3),
            faults=faults if self._table.check else (),
            warnings=tuple(warnings) if self._table.check else (),
            unusable_file=self._unusable if self._table.check else None,
        )


@dataclass(slots=True)
class Lasting:
    """A condition that stands once it has been there for a while, until it has been away for a while."""

    stands: bool = False
    seconds: int = 0  # that it has been otherwise than it stands, up to now


def lasting(conditions: dict[str, Lasting], name: str, there: bool, on_s: int, off_s: int) -> None:
    """Take the next second of a condition; it stands after `on_s` seconds in a row, and not after `off_s` without."""
    condition = conditions.setdefault(name, Lasting())
    condition.seconds = condition.seconds + 1 if there != condition.stands else 0
    if condition.seconds >= (off_s if condition.stands else on_s):
        condition.stands, condition.seconds = there, 0


class NoiseFloor:
    """The lowest level of a week, and whether it has risen since the first week."""

    def __init__(self) -> None:
        self.risen = False
        self._levels: list[float] = []  # of the seconds of the present slot
        self._slots: deque[float] = deque(maxlen=_WEEK_SLOTS)
        self._first_week: float | None = None

    @property
    def lowest_dbfs(self) -> float | None:
        """The lowest level of the last week, as far as it is known."""
        return min(self._slots, default=None)

    def push(self, level_dbfs: float) -> None:
        """Take the level of the next second in which the microphone is in order."""
        self._levels.append(level_dbfs)
        if len(self._levels) < _SLOT_S:
            return
        self._slots.append(float(np.quantile(self._levels, _FLOOR_SHARE)))
        self._levels.clear()
        if len(self._slots) == _WEEK_SLOTS:
            lowest = min(self._slots)
            self._first_week = lowest if self._first_week is None else self._first_week
            self.risen = lowest > self._first_week + _RISE_DB


def _standing(conditions: dict[str, Lasting]) -> tuple[str, ...]:
    return tuple(name for name, condition in conditions.items() if condition.stands)
