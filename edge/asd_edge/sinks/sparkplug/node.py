"""The edge node: a thread, a connection and an outbox around a Sparkplug session."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic, time

from asd_edge.config import SparkplugTable
from asd_edge.events import Event
from asd_edge.sinks.courier import Courier
from asd_edge.sinks.link.link import Link
from asd_edge.sinks.outbox.outbox import Outbox
from asd_edge.sinks.outbox.rows import Entry, OutboxReport, Row
from asd_edge.sinks.payloads import DeviceReport, LinkReport, Message, entry_of
from asd_edge.sinks.sparkplug.actions import Action, Moment, Publication
from asd_edge.sinks.sparkplug.bd_seq import BdSeq
from asd_edge.sinks.sparkplug.inbox import Inbox
from asd_edge.sinks.sparkplug.readings import entry_readings, health_readings, node_readings
from asd_edge.sinks.sparkplug.replay import Replay
from asd_edge.sinks.sparkplug.session import Session
from asd_edge.strict import RefusalError

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 10.0  # how old what the node says of its outbox may be
_LOOK_AFTER_S = 0.5  # what a machine said before it died goes first; the courier gathers it for a moment
_END_S = 0.5  # of the patience with a stop that is left for closing
_WINDOW = 8  # messages that are not on the wire yet, and let history wait: paho's queue is in memory
_TURN_S = 0.1  # of history at a time: what happens meanwhile waits for it


class SparkplugNode:
    """Publishes events as the metrics of a Sparkplug B edge node with a device for each machine.

    The node is open while its births are valid: a host takes its data then.

    Args:
        config: where the broker is, how to talk to it, and the names of the node.
        device: the device's id, which is the node's too unless the configuration says otherwise.
        outbox: keeps events until a host has had the time to take them; from `start` on this node's alone.
        history_kib_s: how fast what could not be sent in time is made up for.
        describe: what the daemon says about itself; called in the node's thread.
        bd_seq: numbers the connections.
        beat: called at every round of the node's thread.

    Raises:
        SinkError: the password or a TLS file cannot be read.
    """

    def __init__(
        self,
        config: SparkplugTable,
        device: str,
        outbox: Outbox,
        history_kib_s: int,
        describe: Callable[[], DeviceReport],
        bd_seq: BdSeq,
        *,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox, self._describe, self._bd_seq = outbox, describe, bd_seq
        self._courier = Courier("sparkplug", outbox, self, beat)
        self._opened = threading.Event()
        self._left = threading.Event()
        # From start() on, what follows belongs to the node's thread.
        self._session = Session(
            config.group,
            config.edge_node or device,
            primary_host=config.primary_host,
            several_servers=len(config.servers) > 1,
            now=_now(),
        )
        # Every CONNECT of an edge node has its NDEATH as the Will, the first one too.
        self._link = Link(config, f"asd-edge-sparkplug-{device}", self, self._courier.do, ask=False)
        self._inbox = Inbox(self._session.subscriptions)
        self._link.subscriptions += self._inbox.subscriptions
        self._replay = Replay(outbox, history_kib_s, config.keepalive_s)
        self._unsent = 0  # events, for other threads
        self._unwritten: set[int] = set()  # numbers of messages
        self._up = False
        self._look_at = 0.0
        self._leaving, self._leave_until = False, 0.0
        self._farewell: int | None = None
        self._refused: str | None = None

    # --- called by the daemon's threads ---

    @property
    def thread(self) -> threading.Thread:
        """The node's thread."""
        return self._courier.thread

    @property
    def report(self) -> tuple[LinkReport, None, OutboxReport]:
        """How link and outbox do; nobody confirms messages of QoS 0: what waits is what was not sent."""
        outbox = self._outbox.report
        oldest_s = outbox.oldest_s if self._unsent else None
        return self._link.report, None, replace(outbox, waiting=self._unsent, oldest_s=oldest_s)

    def start(self) -> None:
        """Begin to connect; return at once."""
        self._courier.start()

    def wait_open(self, timeout_s: float) -> bool:
        """Wait until hosts know of the node; return whether they do."""
        return self._opened.wait(timeout_s)

    def publish(self, event: Event) -> None:
        """Send an event once it is on the disk, as soon as there is a host to take it; return at once."""
        self._courier.take(entry_of(event))

    def announce(self, reason: str) -> None:
        """Look soon at what the daemon says about itself, machines that come and go above all."""
        self._courier.do(self._look_soon)

    def stop(self, reason: str, *, patience_s: float) -> int:
        """Deliver what waits, say good-bye, disconnect; return how many events may not have been taken.

        They wait on the disk for the next start.
        """
        self._courier.hurry()
        deadline = monotonic() + patience_s
        self._courier.do(partial(self._leave, deadline - _END_S))
        self._left.wait(patience_s)
        self._courier.do(self._disconnect)
        self._courier.stop(max(0.5, deadline - monotonic()))
        return self._outbox.report.waiting

    # --- in the node's thread: of the courier ---

    def committed(self, rows: list[Row]) -> None:
        """Send what has just happened at once, if a host knows of its machine; else it becomes history."""
        for row in rows:
            if self._tell(row.entry):
                self._replay.sent([row.id], live=True)

    def send_uncommitted(self, entry: Entry) -> bool:
        """Send an event that the disk does not take."""
        return self._tell(entry)

    def turn(self) -> None:
        """Connect, read, send what waits."""
        if monotonic() >= self._look_at:
            self._look()
        self._link.tick()
        self._replay.tick(monotonic())
        self._unsent = self._replay.unsent
        for topic, payload, retained in self._inbox.read():
            self._hear(topic, payload, retained)
        self._do(self._session.tick(_now()))
        done = self._send_history() if self._session.born else True
        if self._leaving and done and self._farewell is None:
            self._do(self._session.leave(_now()))
            if not self._up:
                self._left.set()

    # --- of the link ---

    def will(self) -> Message:
        """Return the NDEATH that the broker publishes when the device vanishes."""
        will = self._session.will(self._bd_seq.next(), _now())
        return Message(will.topic, will.payload)

    def on_up(self) -> None:
        """Say what there is: the births."""
        self._up = True
        self._link.is_useful()  # QoS 0: there is nothing to see it by
        _log.info("[sparkplug] Connected to %s with MQTT %s", self._link.report.broker, self._link.report.protocol)
        self._do(self._session.connected(self._link.report.broker, _now()))

    def on_down(self) -> None:
        """Take back what may be lost."""
        self._session.lost()
        self._opened.clear()
        self._replay.lost()
        self._unwritten.clear()
        self._up, self._farewell = False, None
        self._inbox.clear()

    def on_acknowledged(self, mid: int, refusal: str | None) -> None:
        """Note that a message is on the wire, or with QoS 1 that the broker has it."""
        self._unwritten.discard(mid)
        if mid == self._farewell:
            self._replay.arrived(self._leave_until)
            self._left.set()

    # --- how ---

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        try:
            self._do(self._session.received(topic, payload, _now(), retained=retained))
        except RefusalError as refusal:
            if refusal.found != self._refused:  # said once: whoever sends such a thing sends many
                self._refused = refusal.found
                _log.warning("Ignored on %s: %s (expected: %s)", topic, refusal.found, refusal.expected)

    def _look_soon(self) -> None:
        self._look_at = min(self._look_at, monotonic() + _LOOK_AFTER_S)

    def _look(self) -> None:
        """Compare with what the daemon says about itself."""
        self._look_at = monotonic() + _LOOK_EVERY_S
        now, report = _now(), self._describe()
        for machine in report.machines:
            self._do(self._session.device(machine.machine, health_readings(machine, now.utc), now))
        alive = [machine.machine for machine in report.machines if machine.state not in ("ended", "failed")]
        self._do(self._session.heard(alive, now))
        self._do(self._session.node(node_readings(report, self._outbox.report, self._replay.unsent, now.utc), now))

    def _tell(self, entry: Entry) -> bool:
        """Let the session know of an event; return whether it went out."""
        heard = self._session.speaks_of(entry.machine)
        self._do(self._session.device(entry.machine, entry_readings(entry), _now()))
        return heard

    def _send_history(self) -> bool:
        """Send history as far as it is allowed; return whether there is none left."""
        until = monotonic() + _TURN_S
        while self._replay.allowed and len(self._unwritten) < _WINDOW and monotonic() < until:
            batch = self._replay.batch(self._link.largest_packet)
            if not batch:
                self._do(self._session.history_ends(_now()))
                return True
            for machine, rows in batch.items():
                readings = [entry_readings(row.entry) for row in rows]
                self._replay.spent(self._do(self._session.history(machine, readings, _now())))
                self._replay.sent([row.id for row in rows], live=False)
        return False

    def _do(self, actions: Sequence[Action]) -> int:
        """Do what the session asks for; return how many bytes that took."""
        size = 0
        for action in actions:
            if isinstance(action, Publication):
                size += len(action.payload)
                mid = self._link.publish(Message(action.topic, action.payload), qos=action.qos)
                self._unwritten.add(mid)
                if action.qos == 1 and self._leaving:
                    self._farewell = mid
            elif not self._leaving:
                self._link.next_server(action.reason)
        if self._session.born:
            self._opened.set()
        return size

    def _leave(self, until: float) -> None:
        self._leaving, self._leave_until = True, until

    def _disconnect(self) -> None:
        self._opened.clear()
        # With MQTT 5 the broker publishes the Will after the NDEATH, as the specification wants it; with 3.1.1 it would
        # have to be cut off for that, which is for an NDEATH that it has not confirmed.
        self._link.close(orderly=self._link.report.protocol == "3.1.1" and self._left.is_set())


def _now() -> Moment:
    return Moment(round(time() * 1000.0), monotonic())
