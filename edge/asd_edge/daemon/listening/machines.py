"""The threads of all machines, and how they follow the device file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic

from asd_edge.bundle.bundle import Bundle
from asd_edge.config import DeviceConfig, MachineTable
from asd_edge.daemon.alarms import AlarmBook
from asd_edge.daemon.evidence import ring_seconds
from asd_edge.daemon.keeping import Keeping
from asd_edge.daemon.listening.conditions import KnownConditions
from asd_edge.daemon.listening.hearing import hangs
from asd_edge.daemon.listening.machine import MachineThread
from asd_edge.daemon.scorer import Scorer
from asd_edge.daemon.watchdog import Watchdog
from asd_edge.events import Event, WindowScore
from asd_edge.heart import Heart
from asd_edge.pipeline import SegmentStreams
from asd_edge.sinks.payloads import MachineReport
from asd_edge.sources.open import check_source
from asd_edge.sources.shared import SharedDevices

_END_S = 3.0  # for machines that are gone, when the device file has changed


@dataclass(frozen=True, slots=True)
class Works:
    """What the machines of a daemon have in common; `publish` and `changed` are MachineThread's."""

    bundle: Bundle
    streams: SegmentStreams
    scorer: Scorer
    keeping: Keeping
    watchdog: Watchdog
    alarms: AlarmBook
    publish: Callable[[Event], None]
    changed: Callable[[MachineThread], None]


@dataclass(frozen=True, slots=True)
class _Listener:
    """A machine that is listened to, and as what."""

    table: MachineTable
    thread: MachineThread
    heart: Heart

    def start(self) -> None:
        """Begin to listen."""
        self.heart.beat()  # a source that does not even open is stuck too
        self.thread.start()


class Machines:
    """Every machine of the device file, each with its thread. The main thread calls; any thread may go through them."""

    def __init__(self, config: DeviceConfig, works: Works) -> None:
        self._works = works
        self._shared = SharedDevices(config.machines)
        self._listeners = [self._listener(config, table) for table in config.machines]

    def __iter__(self) -> Iterator[MachineThread]:
        return (listener.thread for listener in self._listeners)

    @property
    def reports(self) -> tuple[MachineReport, ...]:
        """How each does, in the order of the device file; any thread may ask."""
        return tuple(report for report, _ in self.heard)

    @property
    def heard(self) -> tuple[tuple[MachineReport, WindowScore | None], ...]:
        """How each does, with its newest window; any thread may ask."""
        return tuple((self._report(listener), listener.thread.events.window) for listener in self._listeners)

    def _report(self, listener: _Listener) -> MachineReport:
        """Speak for a thread that hangs."""
        report = listener.thread.report
        if not self._works.watchdog.hangs(listener.heart):
            return report
        return replace(report, state="failed", error=str(hangs(listener.table.source)))

    @property
    def over(self) -> bool:
        """Whether nothing will be heard any more."""
        return all(thread.over for thread in self)

    def start(self) -> None:
        """Begin to listen to all of them; the alarms of others are over."""
        self._works.alarms.retain([listener.table.id for listener in self._listeners])
        for listener in self._listeners:
            listener.start()

    def stop(self, patience_s: float) -> None:
        """End all of them; return after `patience_s` at the latest. A device that does not answer is left behind."""
        self._end(self._listeners, patience_s)

    def plan(self, config: DeviceConfig) -> Callable[[], None]:
        """Try what is new in another device file; return what puts it in force: what is the same goes on untouched.

        Raises:
            ConfigError: they do not fit together, or to the bundle.
            StateError: the state of a new one cannot be used.
            SourceError: the source of a new one cannot be heard as it is written.
        """
        shared = SharedDevices(config.machines, self._shared)
        tables = {table.id: table for table in config.machines}
        same = {
            listener.table.id: listener
            for listener in self._listeners
            if (table := tables.get(listener.table.id)) == listener.table
            and shared.device(table) is self._shared.device(table)
            and shared.others(table) == self._shared.others(table)
            and (ring_seconds(config, table.id) > 0.0) == (self._works.keeping.ring(table.id) is not None)
        }
        for table in config.machines:
            if table.id not in same:
                KnownConditions(self._works.bundle, table, config.device.state_dir).load()
                check_source(table, rate=self._works.streams.pipeline.front_end.sample_rate)
        return partial(self._follow, config, shared, same)

    def _follow(self, config: DeviceConfig, shared: SharedDevices, same: dict[str, _Listener]) -> None:
        """End those that are gone, or others by now, and begin with those that are new."""
        self._shared = shared
        ending = [listener for listener in self._listeners if listener.table.id not in same]
        self._end(ending, _END_S)
        for listener in ending:  # before its alarm is ended, or another goes on with that
            listener.thread.events.silence()
        self._works.keeping.follow(config)
        self._works.alarms.retain([table.id for table in config.machines])
        self._listeners = [same.get(table.id) or self._listener(config, table) for table in config.machines]
        for listener in self._listeners:
            if listener.table.id not in same:
                listener.start()

    def _listener(self, config: DeviceConfig, table: MachineTable) -> _Listener:
        works = self._works
        heart = Heart(f"machine {table.id}")

        def changed(thread: MachineThread) -> None:
            if thread.over:
                heart.end()
            works.changed(thread)

        thread = MachineThread(
            table,
            works.streams,
            works.scorer,
            KnownConditions(works.bundle, table, config.device.state_dir),
            self._shared,
            works.publish,
            works.alarms,
            changed,
            heard=works.keeping.heard(table.id),
            ring=works.keeping.ring(table.id),
            beat=heart.beat,
        )
        works.watchdog.watch(heart, thread.in_source)
        return _Listener(table, thread, heart)

    def _end(self, listeners: Iterable[_Listener], patience_s: float) -> None:
        ending = tuple(listeners)
        for listener in ending:
            self._works.watchdog.forget(listener.heart)
            listener.thread.stop()
        deadline = monotonic() + patience_s
        for listener in ending:
            listener.thread.join(max(0.0, deadline - monotonic()))
