"""Evidence clips in the daemon: one thread that writes down the sound around alarms, and deletes what is too old."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from time import monotonic, time

from asd_edge.config import DeviceConfig
from asd_edge.daemon.ring import SoundRing
from asd_edge.errors import AsdEdgeError
from asd_edge.events import AlarmChange, Event, WindowScore, utc
from asd_edge.evidence.age import RunningClock
from asd_edge.evidence.manifest import ClipManifest
from asd_edge.evidence.recorded import Recorded
from asd_edge.evidence.recording import Recording
from asd_edge.evidence.store import ClipStore, members_of
from asd_edge.heart import Heart
from asd_edge.pipeline import Pipeline

_log = logging.getLogger(__name__)

_LOOK_S = 0.5  # how often a ring is looked at while an alarm is young
_IDLE_S = 5.0
_TIDY_S = 600.0
_HOUR_S, _DAY_S = 3_600.0, 86_400.0
_MOST_EVENTS = 65_536  # that wait for a disk which stalls: an hour of 16 machines
_MOST_AN_HOUR = 12  # clips of a machine [ours]: an alarm that flutters must not push all others out of the quota
_MARGIN_S = 5.0  # until this thread takes the sound
_LONGEST_RING_S = 600.0  # 18 MiB at 16 kHz, whatever the on-delay


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """`clips` on the disk and their `size` in bytes; alarms without a clip since the start, and why the last had none.

    `fault` is None while nothing is wrong.
    """

    clips: int = 0
    size: int = 0
    missed: int = 0
    fault: str | None = None


class Evidence:
    """Keeps the sound around the begin of alarms, beside the way of the events: nothing here holds up a score.

    Switched off it still deletes what has become too old.

    Args:
        config: the device.
        bundle_id: of the bundle that judges.
        pipeline: of that bundle.
        ring: gives what keeps a machine's sound; None when nothing does.
        heart: gives its thread's sign of life.
    """

    def __init__(
        self,
        config: DeviceConfig,
        bundle_id: str,
        pipeline: Pipeline,
        ring: Callable[[str], SoundRing | None],
        heart: Callable[[str], Heart] = Heart,
    ) -> None:
        self.report = EvidenceReport()
        self._table = config.evidence
        self._device = config.device.id
        self._bundle_id = bundle_id
        self._rate = pipeline.front_end.sample_rate
        self._score_every = round(pipeline.score_every_s * self._rate)
        self._ring = ring
        self._heart = heart("evidence")
        self._store = ClipStore(config.device.state_dir)
        self._events: deque[WindowScore | AlarmChange] = deque(maxlen=_MOST_EVENTS)
        # The thread's alone:
        self._kept_s = max(ring_seconds(config, machine.id) for machine in config.machines)
        self._windows: defaultdict[str, deque[WindowScore]] = defaultdict(deque)
        self._fluttering: set[str] = set()
        self._open: list[Recording] = []
        self._made: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_MOST_AN_HOUR))
        self._clock: RunningClock | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)

    def start(self) -> None:
        """Begin to write, unless there is nothing to do."""
        if self._table.enabled or self._store.folder.exists():
            self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Write what is being recorded as it is, then end; return after `patience_s` at the latest."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(patience_s)

    def heard(self, event: Event) -> None:
        """Take what was said of a machine; returns at once, in any thread."""
        if not self._table.enabled or not isinstance(event, (WindowScore, AlarmChange)):
            return
        self._events.append(event)
        if isinstance(event, AlarmChange):
            self._wake.set()

    def _run(self) -> None:
        with self._heart:
            self._work()

    def _work(self) -> None:
        tidied = None
        while not self._stopping:
            self._heart.beat()
            if tidied is None or monotonic() - tidied >= _TIDY_S:
                tidied = monotonic()
                self._guarded(self._tidy)
            self._guarded(self._follow)
            self._wake.wait(_LOOK_S if self._open else _IDLE_S)
            self._wake.clear()
        self._guarded(self._follow)
        for recording in self._open:
            self._keep(recording)
        self._guarded(self._save_clock)

    def _guarded(self, do: Callable[[], None]) -> None:
        """Do it; what fails is said once, not every time."""
        try:
            do()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception, *, missed: int = 0) -> None:
        if self.report.fault is None:
            surprise = None if isinstance(error, AsdEdgeError) else error
            _log.error("Machines are heard, but evidence is not kept as it should be. %s", error, exc_info=surprise)
        fault = (
            f"{error.what}: {error.found}" if isinstance(error, AsdEdgeError) else f"{type(error).__name__}: {error}"
        )
        self.report = replace(self.report, missed=self.report.missed + missed, fault=fault)

    def _tidy(self) -> None:
        """Delete what is too old or too much."""
        self._store.clear_leftovers()
        now = self._running().now()
        most = self._table.max_age_days * _DAY_S
        self._store.forget(now - most, damaged_before=time() - most)
        self._store.shrink(self._table.max_mib << 20)
        if self._store.folder.exists():
            self._save_clock()
        self._count()

    def _follow(self) -> None:
        """Take the events that have come, and the sound of alarms that have just begun."""
        while self._events:
            event = self._events.popleft()
            windows = self._windows[event.machine]
            if isinstance(event, WindowScore):
                if windows and event.stop <= windows[-1].stop:  # another numbering
                    windows.clear()
                windows.append(event)
                kept = round((self._kept_s + self._table.post_s) * self._rate)
                while windows[0].stop < event.stop - kept:
                    windows.popleft()
            else:
                self._take(event, windows)
        for recording in list(self._open):
            ring, windows = self._ring(recording.alarm.machine), self._windows[recording.alarm.machine]
            judged = windows[-1].stop + self._score_every if windows else 0
            if ring is None or recording.listen(ring, judged=judged, now=monotonic()):
                self._open.remove(recording)
                self._keep(recording)

    def _take(self, alarm: AlarmChange, windows: deque[WindowScore]) -> None:
        if not alarm.begins or not windows:
            return
        made, now = self._made[alarm.machine], monotonic()
        if len(made) == _MOST_AN_HOUR and now - made[0] < _HOUR_S:
            if alarm.machine not in self._fluttering:
                _log.warning(
                    "Machine %s: more than %d alarms an hour; no clips of the others", alarm.machine, len(made)
                )
            self._fluttering.add(alarm.machine)
            self.report = replace(self.report, missed=self.report.missed + 1)
            return
        self._fluttering.discard(alarm.machine)
        made.append(now)
        began_at = next((window for window in windows if window.time == alarm.time), windows[-1])
        pre_s, post_s = self._table.pre_s, self._table.post_s
        self._open.append(Recording(alarm, began_at, rate=self._rate, pre_s=pre_s, post_s=post_s, now=now))

    def _keep(self, recording: Recording) -> None:
        alarm = recording.alarm
        recorded = recording.recorded(self._windows[alarm.machine])
        if recorded is None:
            self.report = replace(self.report, missed=self.report.missed + 1)
            _log.warning("Machine %s: no clip of its alarm; the sound was gone", alarm.machine)
            return
        try:
            files = recorded.files()
            manifest = self._manifest(recorded, files)
            path = self._store.save(manifest, files, most_bytes=self._table.max_mib << 20)
            self._save_clock()
            self._count()
        except Exception as error:
            self._fail(error, missed=1)
            return
        _log.info("Machine %s: %.1f s of sound around its alarm are kept in %s", alarm.machine, manifest.seconds, path)

    def _manifest(self, recorded: Recorded, files: dict[str, bytes]) -> ClipManifest:
        alarm = recorded.alarm
        assert alarm.score is not None  # it begins: so it has all of these
        assert alarm.threshold is not None
        assert alarm.condition is not None
        assert alarm.since is not None
        began = datetime.fromtimestamp(alarm.time, tz=timezone.utc)
        return ClipManifest(
            id=f"{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
            device=self._device,
            machine=alarm.machine,
            bundle_id=self._bundle_id,
            condition=alarm.condition,
            score=alarm.score,
            threshold=alarm.threshold,
            severity=alarm.severity,
            first_utc=utc(recorded.first_time),
            since_utc=utc(alarm.since),
            alarm_utc=utc(alarm.time),
            rate=recorded.rate,
            samples=len(recorded.samples),
            since_sample=max(0, recorded.since_at - recorded.start),
            alarm_sample=max(0, recorded.alarm_at - recorded.start),
            made_at_s=self._running().now(),
            files=members_of(files),
        )

    def _running(self) -> RunningClock:
        if self._clock is None:
            newest = [clip.manifest.made_at_s for clip in self._store.clips() if clip.manifest is not None]
            self._clock = RunningClock(self._store.folder / "running.json", at_least=max(newest, default=0.0))
        return self._clock

    def _save_clock(self) -> None:
        if self._store.folder.exists():
            self._running().save()

    def _count(self) -> None:
        """Say what there is, after the disk has taken everything."""
        clips = self._store.clips()
        if self.report.fault is not None:
            _log.info("Evidence is kept again")
        self.report = replace(self.report, clips=len(clips), size=sum(clip.size for clip in clips), fault=None)


def ring_seconds(config: DeviceConfig, machine: str) -> float:
    """Return how much of a machine's sound is kept in memory: what commands may ask for, or what a clip begins with.

    A clip begins `pre_s` before the score first went over the threshold, which was `on_delay_s` before its alarm.
    """
    if not config.evidence.enabled:
        return config.device.ring_s
    before = config.evidence.pre_s + config.machine(machine).decision.on_delay_s + _MARGIN_S
    return max(config.device.ring_s, min(before, _LONGEST_RING_S))
