"""What enrolling costs: three clips on one core, and how soon a running daemon goes by the new condition.

    python -m tests.bench.enrollment

Writes docs/benchmarks/enrollment.json. The real command as a process pinned to one core, the real daemon with a real
broker, the default bundle.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from asd_edge.simulator import OperatingState, SimulatedMachine
from tests.bench.daemon_load import TimedListener
from tests.bench.machine import machine
from tests.edge.broker import Broker
from tests.edge.device import ASD_EDGE, asd_edge, write_clip, write_device

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "enrollment.json"
RUNS = 7
NORMAL = OperatingState(speed=1.0, load=0.5)
FAN = {"id": "fan", "source": "sim:fan?seed=3"}


def main() -> None:
    """Measure and write the results."""
    with tempfile.TemporaryDirectory() as folder:
        clips = [_clip(Path(folder) / f"{seed}.wav", seed) for seed in range(3)]
        results = {
            "machine": machine("numpy", "onnxruntime", "scipy"),
            "command": _command(Path(folder), clips),
            "pickup": _pickup(Path(folder), clips),
        }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def _clip(path: Path, seed: int) -> Path:
    return write_clip(path, SimulatedMachine("fan", seed=100 + seed, state=NORMAL).render(160_000))


def _command(folder: Path, clips: list[Path]) -> dict[str, float]:
    """Seconds of `asd-edge enroll --yes` with three clips of ten seconds, start of Python included, on one core."""
    device = write_device(folder, Path("default"), 1883, FAN)
    which = ("enroll", "--config", str(device), "--machine", "fan", "--yes", "--json")
    wall, cpu = [], []
    for number in range(RUNS + 1):
        names = ("--condition", f"c{number}", "--force", *map(str, clips))
        used, began = _child_cpu(), time.monotonic()
        core = min(os.sched_getaffinity(0))
        subprocess.run(["taskset", "-c", str(core), *ASD_EDGE, *which, *names], capture_output=True, check=True)
        wall.append(time.monotonic() - began)
        cpu.append(_child_cpu() - used)
    code = "import time; b = time.monotonic(); import asd_edge.enrollment.propose; print(time.monotonic() - b)"
    imports = [float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)]
    return {
        "wall_s": round(median(wall[1:]), 3),
        "cpu_s": round(median(cpu[1:]), 3),
        "longest_wall_s": round(max(wall[1:]), 3),
        "of_it_imports_s": round(median(imports), 3),
    }


def _child_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _pickup(folder: Path, clips: list[Path]) -> dict[str, Any]:
    """Seconds from the new state on the disk to the daemon's event at a subscriber, and windows that were lost."""
    (folder / "run").mkdir()
    (folder / "broker").mkdir()
    broker = Broker(folder / "broker")
    broker.start()
    device = write_device(folder / "run", Path("default"), broker.port, FAN)
    listener = TimedListener(broker.port, "#")
    daemon = subprocess.Popen([*ASD_EDGE, "run", "--config", str(device)], stderr=subprocess.DEVNULL)
    try:
        listener.wait("/fan/score", lambda _: True, timeout_s=60.0)
        waits = [_wait_for(listener, device, clips, number) for number in range(RUNS)]
        time.sleep(3.0)
        starts = [score["start"] for score in listener.of("/fan/score")]
        health = [status["machines"][0]["health"] for status in listener.of("/status")]
    finally:
        daemon.terminate()
        daemon.wait()
        listener.close()
        broker.stop()
    steps = np.diff(starts)
    return {
        "median_s": round(median(waits), 3),
        "longest_s": round(max(waits), 3),
        "enrollments": RUNS,
        "windows": len(starts),
        "windows_lost": int((steps // steps.min() - 1).sum()),
        "check_function_seen": health.count("check_function"),
    }


def _wait_for(listener: TimedListener, device: Path, clips: list[Path], number: int) -> float:
    which = ("--config", device, "--machine", "fan", "--condition", f"c{number}", "--force", "--yes")
    told = asd_edge("enroll", *which, *clips)
    if told.returncode:
        raise RuntimeError(told.stderr)
    event = listener.wait("/fan/event", lambda event: event["revision"] == number + 1)
    written = (device.parent / "state" / "fan" / "site.json").stat().st_mtime
    return float(event["arrived"]) - written


if __name__ == "__main__":
    main()
