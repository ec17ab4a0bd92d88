"""The threads of all machines, and how they follow the device file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic

from asd_edge.bundle.bundle import Bundle
from asd_edge.config import DeviceConfig, MachineTable
from asd_edge.daemon.conditions import KnownConditions
from asd_edge.daemon.keeping import Keeping
from asd_edge.daemon.machine import MachineThread
from asd_edge.daemon.scorer import Scorer
from asd_edge.daemon.watchdog import Watchdog
from asd_edge.events import Event
from asd_edge.heart import Heart
from asd_edge.pipeline import SegmentStreams
from asd_edge.sinks.payloads import MachineReport
from asd_edge.sources.shared import SharedDevices

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Works:
    """What the machines of a daemon have in common; `publish` and `changed` are MachineThread's."""

    bundle: Bundle
    streams: SegmentStreams
    scorer: Scorer
    keeping: Keeping
    watchdog: Watchdog
    publish: Callable[[Event], None]
    changed: Callable[[MachineThread], None]


@dataclass(frozen=True, slots=True)
class _Listener:
    """A machine that is listened to, and as what."""

    table: MachineTable
    thread: MachineThread
    heart: Heart


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """What becomes of the machines under a device file. `same`: those that go on untouched."""

    config: DeviceConfig
    shared: SharedDevices
    same: frozenset[str]


class Machines:
    """Every machine of the device file, each with its thread. The main thread calls, but for `reports`."""

    def __init__(self, config: DeviceConfig, works: Works) -> None:
        self._works = works
        self._shared = SharedDevices(config.machines)
        self._listeners = [self._listener(config, table) for table in config.machines]

    def __iter__(self) -> Iterator[MachineThread]:
        return (listener.thread for listener in self._listeners)

    @property
    def reports(self) -> tuple[MachineReport, ...]:
        """How each does, in the order of the device file; any thread may ask."""
        return tuple(thread.report for thread in self)

    @property
    def over(self) -> bool:
        """Whether nothing will be heard any more."""
        return all(thread.over for thread in self)

    def start(self) -> None:
        """Begin to listen to all of them."""
        for thread in self:
            thread.start()

    def stop(self, patience_s: float) -> None:
        """End all of them; return after `patience_s` at the latest. A device that does not answer is left behind."""
        self._end(self._listeners, patience_s)

    def plan(self, config: DeviceConfig) -> MachinePlan:
        """Compare the machines with those of another device file, and try what is new; nothing changes yet.

        Raises:
            ConfigError: they do not fit together, or to the bundle.
            StateError: the state of a new one cannot be used.
        """
        shared = SharedDevices(config.machines, self._shared)
        before = {listener.table.id: listener.table for listener in self._listeners}
        same = frozenset(
            table.id
            for table in config.machines
            if table == before.get(table.id) and shared.device(table) is self._shared.device(table)
        )
        for table in config.machines:
            if table.id not in same:
                KnownConditions(self._works.bundle, table, config.device.state_dir).load()
        return MachinePlan(config, shared, same)

    def follow(self, plan: MachinePlan, patience_s: float) -> None:
        """End those that are gone or others by now, within `patience_s`, and begin with those that are new."""
        self._shared = plan.shared
        staying = {listener.table.id: listener for listener in self._listeners if listener.table.id in plan.same}
        self._end([listener for listener in self._listeners if listener.table.id not in plan.same], patience_s)
        self._works.keeping.expect(table.id for table in plan.config.machines)
        self._listeners = [
            staying.get(table.id) or self._listener(plan.config, table) for table in plan.config.machines
        ]
        for listener in self._listeners:
            if listener.table.id not in staying:
                listener.thread.start()

    def _listener(self, config: DeviceConfig, table: MachineTable) -> _Listener:
        works = self._works
        heart = works.watchdog.heart(f"machine {table.id}")

        def changed(thread: MachineThread) -> None:
            if thread.over:
                heart.rest()
            works.changed(thread)

        thread = MachineThread(
            table,
            works.streams,
            works.scorer,
            KnownConditions(works.bundle, table, config.device.state_dir),
            self._shared,
            works.publish,
            lambda machine: None,
            changed,
            heard=works.keeping.heard(table.id),
            ring=works.keeping.ring(table.id),
        )
        return _Listener(table, thread, heart)

    def _end(self, listeners: Iterable[_Listener], patience_s: float) -> None:
        ending = tuple(listeners)
        for listener in ending:
            self._works.watchdog.forget(listener.heart)
            listener.thread.stop()
        deadline = monotonic() + patience_s
        for listener in ending:
            listener.thread.join(max(0.0, deadline - monotonic()))
