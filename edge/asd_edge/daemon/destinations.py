"""Where events go: every destination has a connection, an outbox and a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from asd_edge import __version__
from asd_edge.config import BrokerTable, DeviceConfig, MqttTable, OutboxTable, SparkplugTable
from asd_edge.credentials import credential
from asd_edge.daemon.handover import Destination, Handover
from asd_edge.daemon.watchdog import Watchdog
from asd_edge.events import Event
from asd_edge.heart import Heart
from asd_edge.sinks.home_assistant import discovery_messages, removals
from asd_edge.sinks.mqtt import MqttSink
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import OutboxReport
from asd_edge.sinks.payloads import Counts, DeviceReport, LinkReport, Message
from asd_edge.sinks.sparkplug.bd_seq import BdSeq
from asd_edge.sinks.sparkplug.node import SparkplugNode
from asd_edge.sinks.topics import Topics

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Settings:
    """All that a destination was made from; with others it is made anew.

    `files`: when each file was written. `machines`: those that it announces at every connection.
    """

    device: str
    table: BrokerTable
    outbox: OutboxTable
    files: tuple[tuple[Path, int], ...]
    machines: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Made(Destination):
    settings: _Settings
    prepare: Callable[[], None]


_Destinations = Mapping[str, _Made]


class Destinations:
    """The destinations of a device file. Any thread may publish; the rest is the main thread's.

    Args:
        config: the device.
        describe: what the daemon says about itself; called in the sinks' threads.
        watchdog: watches over those.
        subscribe: is given every MQTT sink just before it starts, with its topics.
        renewed: called when some have taken over that may know nothing of how things stand, with what tells them.

    Raises:
        SinkError: a password or a TLS file cannot be read.
    """

    def __init__(
        self,
        config: DeviceConfig,
        describe: Callable[[], DeviceReport],
        watchdog: Watchdog,
        subscribe: Callable[[MqttSink, Topics], None],
        renewed: Callable[[Callable[[Event], None]], None],
    ) -> None:
        self._describe, self._watchdog, self._subscribe, self._renewed = describe, watchdog, subscribe, renewed
        self._handover = Handover(watchdog)
        self._lock = threading.Lock()  # an event goes to all of before, or to all that follow
        self._current: _Destinations = {}
        self._current = self._made(config)

    @property
    def reports(self) -> dict[str, tuple[LinkReport, Counts | None, OutboxReport]]:
        """How each does; any thread may ask."""
        return {name: destination.sink.report for name, destination in self._current.items()}

    def start(self, head_start_s: float) -> bool:
        """Begin to connect; wait a while for the brokers, and return whether all of them answer."""
        self._handover.start()
        for destination in self._current.values():
            destination.prepare()
            self._handover.begin(destination)
        deadline = monotonic() + head_start_s
        waits = [d.sink.wait_open(max(0.0, deadline - monotonic())) for d in self._current.values()]
        return all(waits)

    def publish(self, event: Event) -> None:
        """Hand an event to every destination; return at once."""
        with self._lock:
            _publish_to(self._current.values(), event)

    def announce(self, reason: str) -> None:
        """Say anew, everywhere, how the device does."""
        for destination in self._current.values():
            destination.sink.announce(reason)

    def stop(self, reason: str, patience_s: float) -> int:
        """End all at once; return how many events no broker has confirmed. They wait on the disk."""
        deadline = monotonic() + patience_s
        self._handover.stop(patience_s / 2.0)
        for destination in self._current.values():
            self._watchdog.forget(destination.heart)
            if not destination.begun:
                _log.error("[%s] never had its outbox: what was said to it is lost", destination.name)
        sinks = [destination.sink for destination in self._current.values() if destination.begun]
        if not sinks:
            return 0
        left_s = deadline - monotonic()
        with ThreadPoolExecutor(len(sinks)) as pool:
            return sum(pool.map(lambda sink: sink.stop(reason, patience_s=left_s), sinks))

    def plan(self, config: DeviceConfig) -> Callable[[], None]:
        """Make what another device file asks for beside what there is; return what puts it in force.

        Raises:
            SinkError: a password or a TLS file cannot be read.
        """
        return partial(self._follow, self._made(config))

    def _made(self, config: DeviceConfig) -> _Destinations:
        return {table.name: self._one(table, config) for table in config.destinations}

    def _follow(self, planned: _Destinations) -> None:
        """Let the planned ones take over: events of now are theirs, and so is what waits on the disk."""
        before = self._current
        new = [destination for name, destination in planned.items() if destination is not before.get(name)]
        old = [destination for name, destination in before.items() if destination is not planned.get(name)]
        for destination in new:
            destination.prepare()
        with self._lock:
            self._current = planned
        self._handover.order(old, new)
        if new:
            self._renewed(partial(_publish_to, new))

    def _one(self, table: MqttTable | SparkplugTable, config: DeviceConfig) -> _Made:
        name, device = table.name, config.device.id
        announced = isinstance(table, SparkplugTable) or table.home_assistant is not None
        machines = tuple(machine.id for machine in config.machines) if announced else ()
        settings = _Settings(device, table, config.outbox, _written(table), machines)
        before = self._current.get(name)
        if before is not None and before.settings == settings:
            return before
        heart = Heart(name)
        folder, pace = config.device.state_dir / "outbox", config.outbox.history_kib_s
        outbox = Outbox(folder / f"{name}.db", config.outbox)
        if isinstance(table, SparkplugTable):
            bd_seq = BdSeq(config.device.state_dir / "sparkplug.json")
            node = SparkplugNode(table, device, outbox, pace, self._describe, bd_seq, beat=heart.beat)
            return _Made(name, node, heart, settings, _nothing)
        topics, greetings = Topics(table.prefix, device), list[Message]()
        if table.home_assistant is not None:
            greetings = discovery_messages(topics, table.home_assistant, machines, __version__)
        if before is not None and isinstance(before.sink, MqttSink):
            greetings = removals(before.sink.greetings(), greetings) + greetings
        sink = MqttSink(table, topics, outbox, pace, self._describe, greetings=lambda: greetings, beat=heart.beat)
        return _Made(name, sink, heart, settings, partial(self._subscribe, sink, topics))


def _publish_to(destinations: Iterable[Destination], event: Event) -> None:
    for destination in destinations:
        destination.sink.publish(event)


def _nothing() -> None:
    pass


def _written(table: BrokerTable) -> tuple[tuple[Path, int], ...]:
    """Return the files that a broker's table names, and when each was written: a new certificate is a change too."""
    tls = (table.tls.ca_file, table.tls.cert_file, table.tls.key_file) if table.tls is not None else ()
    written = []
    for path in map(credential, filter(None, (table.password_file, *tls))):
        with suppress(OSError):  # the sink says what is wrong with it
            written.append((path, path.stat().st_mtime_ns))
    return tuple(written)
