"""How long the daemon takes until it listens, and until it has stopped with everything on the disk."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import psutil

from tests.edge.broker import Broker
from tests.edge.device import ASD_EDGE, write_device
from tests.soak.outbox_file import starts

RUNS = 20
MACHINES = 4
_PATIENCE_S = 30.0


def run(*, seed: int, quick: bool) -> dict[str, Any]:
    """Start and stop it with a broker that answers, and without any."""
    random, runs = Random(seed), 3 if quick else RUNS
    return {
        "runs": runs,
        "machines": MACHINES,
        "load": os.getloadavg()[1],
        "with_broker": _times(runs, random, broker_up=True),
        "without_broker": _times(runs, random, broker_up=False),
    }


def _times(runs: int, random: Random, *, broker_up: bool) -> dict[str, Any]:
    ready, worked, stopped, gaps, events = [], [], [], 0, 0
    with tempfile.TemporaryDirectory() as name:
        broker = Broker(Path(name))
        if broker_up:
            broker.start()
        try:
            for number in range(runs):
                folder = Path(name) / str(number)
                folder.mkdir()
                # The simulator at twice the speed: a score of each machine every half second.
                machines = (
                    {"id": f"m-{i}", "source": f"sim:fan?seed={i}", "speed": 2.0, "factory": "fan/00"}
                    for i in range(MACHINES)
                )
                device = write_device(folder, Path("default"), broker.port, *machines)
                ready_s, cpu_s, stop_s = _once(device, folder / "notify", random.uniform(6.0, 12.0))
                ready.append(ready_s)
                worked.append(cpu_s)
                stopped.append(stop_s)
                for machine in starts(folder / "state" / "outbox" / "mqtt.db").values():
                    events += len(machine)
                    gaps += len({second - first for first, second in pairwise(machine)}) > 1
        finally:
            broker.stop()
    return {
        "ready_median_s": median(ready),
        "ready_worst_s": max(ready),
        "ready_cpu_median_s": median(worked),
        "stop_median_s": median(stopped),
        "stop_worst_s": max(stopped),
        "scores_in_the_outboxes": events,
        "machines_with_gaps": gaps,
    }


def _once(device: Path, address: Path, heard_s: float) -> tuple[float, float, float]:
    """Run the daemon for a while as systemd would.

    Returns:
        seconds until READY=1, how many of them of the processor, and seconds from SIGTERM to its end.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(address))
        notified.settimeout(_PATIENCE_S)
        began = time.monotonic()
        child = subprocess.Popen(
            [*ASD_EDGE, "run", "--config", str(device)],
            stderr=subprocess.DEVNULL,
            env=os.environ | {"NOTIFY_SOCKET": str(address)},
        )
        try:
            while b"READY=1" not in notified.recv(4096):
                pass
            ready_s, times = time.monotonic() - began, psutil.Process(child.pid).cpu_times()
            time.sleep(heard_s)
            asked = time.monotonic()
            child.terminate()
            if (code := child.wait(_PATIENCE_S)) != 0:
                raise RuntimeError(f"the daemon ended with {code}")
            return ready_s, times.user + times.system, time.monotonic() - asked
        finally:
            child.kill()
            child.wait()
