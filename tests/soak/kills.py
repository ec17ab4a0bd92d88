"""Daemon and broker killed and frozen at random moments under load: nothing committed is lost, nothing contradicts."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

from tests.edge.broker import Listener
from tests.soak.broker import LastingBroker
from tests.soak.load import Runner, alarming_device, tracebacks
from tests.soak.outbox_file import read_outbox
from tests.soak.stage import stage
from tests.soak.subscriber import Subscriber

MACHINES, SPEED = 6, 10.0
BLOWS = {"kill the daemon": 100, "kill the broker": 100, "freeze the broker": 20}
QUICK = {"kill the daemon": 5, "kill the broker": 5, "freeze the broker": 2}
CONTROL = {"kill the broker": 30}
_PAUSE_S = (0.2, 4.0)  # between two blows; less than a start takes, sometimes
_AWAY_S = (0.0, 2.0)  # the broker, after a kill
_APART_S = (0.0, 3.0)  # the subscriber, before half of the broker's deaths
_FROZEN_S = (0.5, 10.0)  # on both sides of the keep-alive, 5 s
_SETTLED_S = 10.0
_PATIENCE_S = 300.0


def run(*, seed: int, quick: bool) -> dict[str, Any]:
    """Let all blows fall in random order; then some on a device without a replay window, which must lose something."""
    random = Random(seed)
    results = _storm(random, QUICK if quick else BLOWS, "")
    control = _storm(random, CONTROL, "[outbox]\nreplay_s = 0\n")
    unprotected = {key: control[key] for key in ("blows", "committed")} | {"lost": len(control["lost"])}
    return results | {"seed": seed, "without_replay": unprotected}


def _storm(random: Random, blows: dict[str, int], tables: str) -> dict[str, Any]:
    """Run a device, with more tables in its file, through some blows; return what became of its events."""
    order = [blow for blow, count in blows.items() for _ in range(count)]
    random.shuffle(order)
    with ExitStack() as stack:
        folder, broker, subscriber = stage(stack)
        broker.save()  # a subscriber that the broker has never saved would be forgotten with the first kill
        device = alarming_device(folder, broker.port, machines=MACHINES, speed=SPEED, keepalive_s=5)
        device.write_text(f"{device.read_text()}\n{tables}")
        daemon = Runner(device, folder / "log")
        stack.enter_context(daemon.running())
        began = time.monotonic()
        for number, blow in enumerate(order):
            time.sleep(random.uniform(*_PAUSE_S))
            match blow:
                case "kill the daemon":
                    daemon.kill()
                    stack.enter_context(daemon.running())
                case "kill the broker":
                    _kill(broker, subscriber, random)
                case _:
                    broker.freeze()
                    time.sleep(random.uniform(*_FROZEN_S))
                    broker.thaw()
            if number % 20 == 19:
                print(f"{number + 1} of {len(order)}: {len(subscriber.ledger.received)} events", file=sys.stderr)
        _settle(subscriber)
        stopped_s = daemon.stop()
        _quieten(subscriber)
        return _judge(subscriber, folder, daemon, _retained(broker.port)) | {
            "blows": dict(Counter(order)),
            "seconds": time.monotonic() - began,
            "machines": MACHINES,
            "stop_s": stopped_s,
        }


def _kill(broker: LastingBroker, subscriber: Subscriber, random: Random) -> None:
    """Let the broker die, half of the times with messages that nobody has but its memory."""
    apart = random.random() < 0.5
    if apart:
        subscriber.close()
        time.sleep(random.uniform(*_APART_S))
    broker.kill()
    time.sleep(random.uniform(*_AWAY_S))
    broker.start()
    if apart:
        subscriber.come_back()


def _settle(subscriber: Subscriber) -> None:
    """Let the daemon make up for what it could not send, until no history comes any more, or patience ends."""
    deadline = time.monotonic() + _PATIENCE_S
    time.sleep(_SETTLED_S)
    while time.monotonic() < deadline and subscriber.history_quiet_s() < _SETTLED_S:
        time.sleep(1.0)


def _quieten(subscriber: Subscriber) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while subscriber.quiet_s() < 3.0 and time.monotonic() < deadline:
        time.sleep(0.5)


def _retained(port: int) -> list[dict[str, Any]]:
    """Return what whoever comes now is told of the alarms."""
    newcomer = Listener(port, "asd-edge/box/+/alarm")
    # After so many broken connections the device may pause for a minute.
    newcomer.wait("/alarm", lambda _: len(newcomer.messages) >= MACHINES, timeout_s=90.0)
    newcomer.close()
    return newcomer.of("/alarm")


def _judge(subscriber: Subscriber, folder: Path, daemon: Runner, retained: list[dict[str, Any]]) -> dict[str, Any]:
    ledger, held = subscriber.ledger, read_outbox(folder / "state" / "outbox" / "mqtt.db")
    book = json.loads((folder / "state" / "alarms.json").read_text())["machines"]
    stand = {machine: alarm["active"] for machine, alarm in book.items()}
    return {
        "committed": held.last_id,
        "received": len(ledger.received),
        "waiting": len(held.waiting),
        "dropped": held.dropped,
        "lost": ledger.lost(held.committed(), held.waiting),
        "again": ledger.again,
        "uncommitted": ledger.uncommitted,
        "contradictions": ledger.contradictions,
        "disorder": ledger.disorder,
        "failures": subscriber.failures,
        "alarms_received": subscriber.count("alarms"),
        "alarms_standing": sum(stand.values()),
        "alarms_wrong": [machine for machine, active in stand.items() if ledger.alarms[machine]["active"] != active],
        "retained_wrong": [alarm for alarm in retained if alarm != ledger.alarms[alarm["machine"]]],
        "exceptions_in_the_log": tracebacks(daemon.log),
    }
