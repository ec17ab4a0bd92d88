"""Which alarms get a clip, and the sound of those that have just begun. No thread, no disk."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator

from asd_edge.config import EvidenceTable
from asd_edge.events import AlarmChange, WindowScore
from asd_edge.evidence.recorded import Recorded
from asd_edge.evidence.recording import Recording, Ring

_log = logging.getLogger(__name__)

_HOUR_S = 3_600.0
_MOST_AN_HOUR = 12  # clips of a machine [ours]: an alarm that flutters must not push all others out of the quota


class Gathering:
    """The windows and young alarms of all machines.

    Args:
        rate: samples a second.
        score_every: samples from one window to the next.
        ring: gives what keeps a machine's sound; None when nothing does.
    """

    def __init__(self, rate: int, score_every: int, ring: Callable[[str], Ring | None]) -> None:
        self.missed = 0
        """Alarms without a clip."""
        self._rate, self._score_every, self._ring = rate, score_every, ring
        self._windows: defaultdict[str, deque[WindowScore]] = defaultdict(deque)
        self._fluttering: set[str] = set()
        self._open: list[Recording] = []
        self._made: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_MOST_AN_HOUR))

    @property
    def busy(self) -> bool:
        """Whether sound is awaited."""
        return bool(self._open)

    def retain(self, machines: Collection[str]) -> None:
        """Forget all machines but these; nothing is being recorded of the others."""
        for memory in (self._windows, self._made):
            for gone in memory.keys() - set(machines):
                del memory[gone]
        self._fluttering &= set(machines)

    def score(self, window: WindowScore, *, kept_s: float) -> None:
        """Take a window's score; those of the last `kept_s` seconds are kept."""
        windows = self._windows[window.machine]
        if windows and window.stop <= windows[-1].stop:  # another numbering
            windows.clear()
        windows.append(window)
        while windows[0].stop < window.stop - round(kept_s * self._rate):
            windows.popleft()

    def alarm(self, alarm: AlarmChange, table: EvidenceTable, now: float) -> None:
        """Take an alarm that has begun; `now`: seconds of a clock."""
        made = self._made[alarm.machine]
        began_at = next((window for window in self._windows[alarm.machine] if window.time == alarm.time), None)
        if began_at is None:  # it was too long ago, or the thread was so far behind that it was given up
            self.missed += 1
            _log.warning("Machine %s: no clip of its alarm; what was heard then is not known any more", alarm.machine)
            return
        if len(made) == _MOST_AN_HOUR and now - made[0] < _HOUR_S:
            if alarm.machine not in self._fluttering:
                _log.warning(
                    "Machine %s: more than %d alarms an hour; no clips of the others", alarm.machine, len(made)
                )
            self._fluttering.add(alarm.machine)
            self.missed += 1
            return
        self._fluttering.discard(alarm.machine)
        made.append(now)
        self._open.append(Recording(alarm, began_at, rate=self._rate, pre_s=table.pre_s, post_s=table.post_s, now=now))

    def listen(self, now: float) -> Iterator[Recorded]:
        """Take the sound that has come; yield what is complete."""
        for recording in list(self._open):
            machine = recording.alarm.machine
            ring, windows = self._ring(machine), self._windows[machine]
            judged = windows[-1].stop + self._score_every if windows else 0
            if ring is None or recording.listen(ring, judged=judged, now=now):
                yield from self._taken(recording)

    def finish(self, now: float) -> Iterator[Recorded]:
        """Yield all that is being recorded, as it is."""
        yield from self.listen(now)
        for recording in list(self._open):
            yield from self._taken(recording)

    def _taken(self, recording: Recording) -> Iterator[Recorded]:
        self._open.remove(recording)
        recorded = recording.recorded(self._windows[recording.alarm.machine])
        if recorded is None:
            self.missed += 1
            _log.warning("Machine %s: no clip of its alarm; the sound was gone", recording.alarm.machine)
        else:
            yield recorded
