"""Evidence clips in the daemon: one thread that writes down the sound around alarms, and deletes what is too old."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic

from asd_edge.config import DeviceConfig
from asd_edge.daemon.ring import SoundRing
from asd_edge.errors import AsdEdgeError
from asd_edge.events import AlarmChange, Event, WindowScore
from asd_edge.evidence.gathering import Gathering
from asd_edge.evidence.keeper import ClipKeeper
from asd_edge.evidence.recorded import Recorded
from asd_edge.heart import Heart
from asd_edge.pipeline import Pipeline

_log = logging.getLogger(__name__)

_LOOK_S = 0.5  # how often a ring is looked at while an alarm is young
_IDLE_S = 5.0
_TIDY_S = 600.0
_RETRY_S = 60.0  # while something is wrong
_MOST_WINDOWS = 65_536  # that wait for a disk which stalls: an hour of 16 machines
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

    Switched off it still deletes what has become too old. It follows the device file in its own thread, so that there
    is never a second one, and what is being recorded goes on.

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
        self._enabled = config.evidence.enabled
        self._heart = heart("evidence")
        rate = pipeline.front_end.sample_rate
        self._inbox: deque[WindowScore | AlarmChange | DeviceConfig] = deque()
        device = config.device
        self._keeper = ClipKeeper(config.evidence, device.id, bundle_id, device.state_dir, self._heart.beat)
        # The thread's alone:
        self._config, self._longest_s = config, _longest_clip_s(config)
        self._gathering = Gathering(rate, round(pipeline.score_every_s * rate), ring)
        self._failed = 0  # clips that the disk did not take
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)

    def start(self) -> None:
        """Begin to write, unless there is nothing to do."""
        if self._thread.ident is None and (self._enabled or self._keeper.any):
            self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Write what is being recorded as it is, then end; return after `patience_s` at the latest."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(patience_s)

    def plan(self, config: DeviceConfig) -> Callable[[], None]:
        """Return what puts another device file in force."""
        return partial(self._turn_to, config)

    def heard(self, event: Event) -> None:
        """Take what was said of a machine; returns at once, in any thread.

        Of too many windows the newest are given up; alarms are few, and one without its window is counted.
        """
        if not self._enabled or not isinstance(event, (WindowScore, AlarmChange)):
            return
        if isinstance(event, AlarmChange):
            self._inbox.append(event)
            self._wake.set()
        elif len(self._inbox) < _MOST_WINDOWS:
            self._inbox.append(event)

    def _turn_to(self, config: DeviceConfig) -> None:
        self._enabled = config.evidence.enabled
        self._inbox.append(config)
        self._wake.set()
        self.start()

    # --- in its thread ---

    def _run(self) -> None:
        with self._heart:
            self._work()

    def _work(self) -> None:
        for begin in (self._keeper.begin, self._tidy):
            self._guarded(begin)
        tidied = monotonic()
        while not self._stopping:
            self._heart.beat()
            if monotonic() - tidied >= (_TIDY_S if self.report.fault is None else _RETRY_S):
                tidied = monotonic()
                self._guarded(self._tidy)
            self._guarded(self._round)
            self._wake.wait(_LOOK_S if self._gathering.busy else _IDLE_S)
            self._wake.clear()
        self._guarded(self._round)
        self._guarded(lambda: self._keep(self._gathering.finish(monotonic())))
        self._guarded(self._keeper.save_clock)

    def _round(self) -> None:
        """Take what has come, and the sound of alarms that have just begun."""
        while self._inbox:
            what = self._inbox.popleft()
            if isinstance(what, WindowScore):
                self._gathering.score(what, kept_s=self._longest_s)
            elif isinstance(what, DeviceConfig):
                self._follow(what)
            elif what.begins:
                self._gathering.alarm(what, self._config.evidence, monotonic())
        self._keep(self._gathering.listen(monotonic()))

    def _follow(self, config: DeviceConfig) -> None:
        self._config, self._longest_s, self._keeper.table = config, _longest_clip_s(config), config.evidence
        if config.evidence.enabled:
            self._keep(self._gathering.listen(monotonic()))  # of machines that are gone, what there is
            self._gathering.retain([machine.id for machine in config.machines])
        else:
            self._keep(self._gathering.finish(monotonic()))
            self._gathering.retain([])
        self._guarded(self._tidy)

    def _tidy(self) -> None:
        self._keeper.tidy()
        self._count(well=True)

    def _keep(self, clips: Iterable[Recorded]) -> None:
        for recorded in clips:
            try:
                manifest, path = self._keeper.keep(recorded)
            except Exception as error:
                self._failed += 1
                self._fail(error)
                continue
            self._count(well=True)
            seconds = manifest.seconds
            _log.info("Machine %s: %.1f s of sound around its alarm are kept in %s", manifest.machine, seconds, path)
        self._count()

    def _guarded(self, do: Callable[[], None]) -> None:
        """Do it; what fails is said once, not every time."""
        try:
            do()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self.report.fault is None:
            surprise = None if isinstance(error, AsdEdgeError) else error
            _log.error("Machines are heard, but evidence is not kept as it should be. %s", error, exc_info=surprise)
        fault = error.line if isinstance(error, AsdEdgeError) else f"{type(error).__name__}: {error}"
        self.report = replace(self.report, fault=fault)

    def _count(self, *, well: bool = False) -> None:
        """Say what there is; `well`: the disk has taken everything."""
        if well and self.report.fault is not None:
            _log.info("Evidence is kept again")
        self.report = EvidenceReport(
            self._keeper.count,
            self._keeper.size,
            self._gathering.missed + self._failed,
            None if well else self.report.fault,
        )


def _longest_clip_s(config: DeviceConfig) -> float:
    return max(ring_seconds(config, machine.id) for machine in config.machines) + config.evidence.post_s


def ring_seconds(config: DeviceConfig, machine: str) -> float:
    """Return how much of a machine's sound is kept in memory: what commands may ask for, or what a clip begins with.

    A clip begins `pre_s` before the score first went over the threshold, which was `on_delay_s` before its alarm.
    """
    if not config.evidence.enabled:
        return config.device.ring_s
    before = config.evidence.pre_s + config.machine(machine).decision.on_delay_s + _MARGIN_S
    return max(config.device.ring_s, min(before, _LONGEST_RING_S))
