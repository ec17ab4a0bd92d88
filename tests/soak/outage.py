"""A day without the broker, then its return: nothing is lost, alarms come first, live scores are not kept waiting."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
import psutil

from tests.soak.outage_device import MACHINES
from tests.soak.outbox_file import read_outbox
from tests.soak.stage import stage
from tests.soak.subscriber import Subscriber

HOURS = 24.0
_PATIENCE_S = 1800.0
_AFTER_S = 20.0  # of live scores once the history is through


def run(*, seed: int, quick: bool) -> dict[str, Any]:
    """Fill the outbox, let the broker come, and watch."""
    outage_s = round(HOURS * 3600) // (48 if quick else 1)
    with ExitStack() as stack:
        folder, broker, subscriber = stage(stack)
        broker.stop()  # it saves the subscriber's session
        path = folder / "outbox" / "mqtt.db"
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.outage_device", str(broker.port), str(path), str(outage_s)],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(child.wait)
        stack.callback(child.kill)
        assert child.stdout is not None
        began, resident = time.monotonic(), _Resident(child.pid)
        fed = int(resident.watch(child.stdout.readline, began).split()[1])
        filled_s, size = time.monotonic() - began, sum(part.stat().st_size for part in path.parent.glob("mqtt.db*"))
        came, filling = time.time(), resident.samples
        resident = _Resident(child.pid)
        broker.start()
        began = time.monotonic()
        while subscriber.count("history") + subscriber.count("alarms") < fed and time.monotonic() - began < _PATIENCE_S:
            resident.sample(began)
            time.sleep(0.5)
        time.sleep(_AFTER_S)
        child.terminate()
        unconfirmed = int(child.stdout.readline().split()[1])
        child.wait(30)
        while subscriber.quiet_s() < 2.0:
            time.sleep(0.2)
        held = read_outbox(path)
        return _figures(subscriber, fed, came) | {
            "machines": MACHINES,
            "outage_h": outage_s / 3600,
            "fed": fed,
            "committed": held.last_id,
            "lost": len(subscriber.ledger.lost(held.committed(), held.waiting)),
            "dropped": held.dropped,
            "waiting": len(held.waiting),
            "unconfirmed": unconfirmed,
            "contradictions": subscriber.ledger.contradictions[:10],
            "disorder": subscriber.ledger.disorder[:10],
            "failures": subscriber.failures[:10],
            "file_mib": size / 2**20,
            "filled_s": filled_s,
            "resident_filling": _growth(filling),
            "resident_draining": _growth(resident.samples),
            "seed": seed,
        }


class _Resident:
    """Resident memory of a process, MB, by seconds."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.samples: list[tuple[float, float]] = []

    def sample(self, began: float) -> None:
        self.samples.append((time.monotonic() - began, self._process.memory_info().rss / 1e6))

    def watch(self, wait: Any, began: float) -> str:
        """Sample while `wait` waits for a line; return the line."""
        line: list[str] = []
        waiter = threading.Thread(target=lambda: line.append(wait()))
        waiter.start()
        while waiter.is_alive():
            self.sample(began)
            waiter.join(0.5)
        return line[0]


def _growth(samples: list[tuple[float, float]]) -> dict[str, Any]:
    """Memory a tenth of the way in, and at its largest after that."""
    later = [mb for _, mb in samples[len(samples) // 10 :]]
    return {
        "early_mb": later[0],
        "end_mb": later[-1],
        "largest_mb": max(later),
        "samples": [[round(at, 1), round(mb, 2)] for at, mb in samples[:: max(1, len(samples) // 30)]],
    }


def _figures(subscriber: Subscriber, fed: int, came: float) -> dict[str, Any]:
    """How long it took, and how late live scores were meanwhile; `came`: when the broker was started."""
    arrivals = subscriber.arrivals
    history = [a for a in arrivals if a.stream == "history"]
    alarms = [a for a in arrivals if a.stream == "alarms" and a.sent < came]
    first, last = arrivals[0].at, max(a.at for a in history)
    live = [a.at - a.sent for a in arrivals if a.stream == "live" and a.at <= last]
    after = [a.at - a.sent for a in arrivals if a.stream == "live" and a.at > last]
    last_alarm = max((a.at for a in alarms), default=first)
    return {
        "reconnect_s": first - came,
        "drain_s": last - first,
        "alarms": len(alarms),
        "alarms_through_s": last_alarm - first,
        "history_before_the_last_alarm": sum(a.events for a in history if a.at < last_alarm),
        "history": sum(a.events for a in history),
        "live_meanwhile": len(live),
        "live_delay_s": _percentiles(live),
        "live_delay_afterwards_s": _percentiles(after),
    }


def _percentiles(delays: list[float]) -> dict[str, float]:
    return {f"p{share}": float(np.percentile(delays, share)) for share in (50, 99)} | {"worst": max(delays)}
