"""What a Sparkplug session does over scripted scenarios: the recordings that the rules are checked on.

A script plays the transport and the plant. Payloads are read with the published schema, not with our codec.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asd_edge.sinks.sparkplug.actions import Action, Leave, Moment, Publication
from asd_edge.sinks.sparkplug.bd_seq import BdSeq
from asd_edge.sinks.sparkplug.codec import DataType, Metric, Payload, encode
from asd_edge.sinks.sparkplug.readings import event_readings
from asd_edge.sinks.sparkplug.session import Session
from asd_edge.sinks.sparkplug.values import Reading
from tests.edge.sparkplug_schema import SparkplugMessage

START = 1_767_225_600_000  # 2026-01-01, ms
STATE = "spBv1.0/STATE/scada"
MACHINES = ("fan-7", "pump-2")


@dataclass(frozen=True)
class Event(SparkplugMessage):
    """One thing that happened: `what` is connect (its Will), subscribe, publish, disconnect, or received."""

    what: str
    server: str
    time: int
    topic: str = ""
    qos: int = 0
    data: bytes = b""

    def metric(self, name: str) -> Any:
        (found,) = [metric for metric in self.payload.metrics if metric.name == name]
        return found


@dataclass
class Script:
    """A session that is played with."""

    folder: Path
    primary_host: str | None = None
    servers: tuple[str, ...] = ("a:1883",)
    events: list[Event] = field(default_factory=list)
    utc: int = START

    def __post_init__(self) -> None:
        self.turn = 0
        self.connected = False
        self.start()

    def start(self) -> None:
        """Start the daemon, again too."""
        self.bd_seq = BdSeq(self.folder / "sparkplug.json")
        several = len(self.servers) > 1
        self.session = Session("plant", "box", primary_host=self.primary_host, several_servers=several, now=self.now)
        self.do(self.session.heard(MACHINES, self.now))

    @property
    def now(self) -> Moment:
        return Moment(self.utc, self.utc / 1000.0)

    @property
    def server(self) -> str:
        return self.servers[self.turn % len(self.servers)]

    def record(self, what: str, publication: Publication | None = None, topic: str = "", qos: int = 0) -> None:
        if publication is not None:
            topic, qos, data = publication.topic, publication.qos, publication.payload
        else:
            data = b""
        self.events.append(Event(what, self.server, self.utc, topic, qos, data))

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Leave):
                self.record("disconnect")
                self.session.lost()
                self.connected = False
                self.turn += 1
            else:
                self.record("publish", action)

    def connect(self) -> None:
        self.record("connect", self.session.will(self.bd_seq.next(), self.now))
        for topic in self.session.subscriptions:
            self.record("subscribe", topic=topic, qos=1)
        self.connected = True
        self.do(self.session.connected(self.server, self.now))

    def cut(self) -> None:
        """The connection breaks without a word."""
        self.session.lost()
        self.connected = False

    def wait(self, seconds: float) -> None:
        self.utc += round(seconds * 1000)
        self.do(self.session.tick(self.now))

    def hear(self, topic: str, payload: bytes) -> None:
        self.events.append(Event("received", self.server, self.utc, topic, 1, payload))
        self.do(self.session.received(topic, payload, self.now))

    def state(self, online: bool, timestamp: int, host: str = "scada") -> None:
        self.hear(f"spBv1.0/STATE/{host}", json.dumps({"online": online, "timestamp": timestamp}).encode())

    def ask_for_rebirth(self) -> None:
        command = Metric("Node Control/Rebirth", DataType.BOOLEAN, True, self.utc)
        self.hear("spBv1.0/plant/NCMD/box", encode(Payload(self.utc, (command,))))

    def score(self, machine: str, score: float | None) -> list[Reading]:
        """A window of a machine; it goes out if it can. Returns what it says."""
        self.utc += 500
        readings = event_readings(score_event(machine, self.utc, score))
        self.do(self.session.device(machine, readings, self.now))
        return readings


def score_event(machine: str, time: int, score: float | None, **changes: Any) -> dict[str, Any]:
    scored = score is not None
    event = {"machine": machine, "time": iso(time), "state": "scored" if scored else "idle", "level_dbfs": -30.0}
    event |= {"score": score, "threshold": 0.2 if scored else None, "condition": "rpm1200" if scored else None}
    return event | changes


def iso(time: int) -> str:
    from asd_edge.events import utc

    return utc(time / 1000.0)


def first_connect(script: Script) -> None:
    script.score("fan-7", 0.1)  # before anybody is there
    script.connect()
    for step in range(4):
        script.score("fan-7", 0.11 + step / 100)
        script.score("pump-2", None)
    script.do(script.session.node([Reading("Outbox/Depth", 3, script.utc)], script.now))


def rebirth(script: Script) -> None:
    script.connect()
    script.score("fan-7", 0.1)
    script.wait(10)
    script.ask_for_rebirth()
    script.score("fan-7", 0.12)
    for _ in range(50):  # somebody asks again and again
        script.ask_for_rebirth()
        script.score("fan-7", script.utc / START)
        script.wait(0.1)
    script.wait(5)
    script.score("fan-7", 0.14)


def machine_dies(script: Script) -> None:
    script.connect()
    script.score("pump-2", 0.1)
    script.do(script.session.heard(["fan-7"], script.now))
    script.score("pump-2", 0.9)  # nobody is told
    script.score("fan-7", 0.1)
    script.wait(30)
    script.do(script.session.heard(MACHINES, script.now))
    script.score("pump-2", 0.12)


def unclean(script: Script) -> None:
    script.connect()
    last = [script.score("fan-7", 0.1 + step / 100) for step in range(5)]
    script.cut()
    missed = [script.score("fan-7", 0.2 + step / 100) for step in range(5)]
    script.start()  # the daemon, too
    script.wait(20)
    script.connect()
    script.score("fan-7", 0.5)
    script.do(script.session.history("fan-7", last + missed, script.now))
    script.do(script.session.history("gone-1", [event_readings(score_event("gone-1", START, 0.3))], script.now))
    script.do(script.session.history_ends(script.now))
    script.score("fan-7", 0.6)


def host_away(script: Script) -> None:
    script.connect()
    script.wait(5)
    script.score("fan-7", 0.1)
    script.state(True, 900, host="another")
    script.state(False, 950)  # it is known to be away here: on to the next
    script.connect()
    script.state(True, 1_000)
    script.score("fan-7", 0.2)
    script.state(False, 999)  # the Will of an older connection of the host
    script.score("fan-7", 0.3)
    script.state(False, 1_000)
    script.wait(1)
    script.connect()
    script.state(True, 990)
    script.score("fan-7", 0.4)
    script.state(False, 1_100)
    script.connect()
    script.state(True, 999)  # older than what this server said last
    script.score("fan-7", 0.45)
    script.wait(40)
    script.connect()
    script.wait(31)  # nothing is known of it there
    script.connect()
    script.state(True, 2_000)
    script.score("fan-7", 0.5)


def seq_wraps(script: Script) -> None:
    script.connect()
    for step in range(600):
        script.score("fan-7", step / 1000)
    script.do(script.session.heard(["fan-7"], script.now))


def bd_seq_wraps(script: Script) -> None:
    (script.folder / "sparkplug.json").write_text('{"format":"asd-edge-sparkplug","version":1,"bd_seq":249}')
    script.start()
    for _ in range(12):
        script.connect()
        script.cut()


def orderly_stop(script: Script) -> None:
    script.connect()
    script.score("fan-7", 0.1)
    script.do(script.session.leave(script.now))
    script.start()
    script.connect()


SCENARIOS: dict[str, tuple[Callable[[Script], None], dict[str, Any]]] = {
    "first_connect": (first_connect, {}),
    "rebirth": (rebirth, {}),
    "machine_dies": (machine_dies, {}),
    "unclean": (unclean, {}),
    "host_away": (host_away, {"primary_host": "scada", "servers": ("a:1883", "b:1883")}),
    "seq_wraps": (seq_wraps, {}),
    "bd_seq_wraps": (bd_seq_wraps, {}),
    "orderly_stop": (orderly_stop, {}),
}


@cache
def recording(scenario: str) -> tuple[Event, ...]:
    play, settings = SCENARIOS[scenario]
    with TemporaryDirectory() as folder:
        script = Script(Path(folder), **settings)
        play(script)
        return tuple(script.events)


def recordings() -> Iterator[tuple[Event, ...]]:
    yield from map(recording, SCENARIOS)


def connections(events: tuple[Event, ...]) -> list[tuple[Event, ...]]:
    """A recording, cut at every CONNECT."""
    starts = [at for at, event in enumerate(events) if event.what == "connect"]
    return [events[at:end] for at, end in zip(starts, [*starts[1:], len(events)], strict=True)]
