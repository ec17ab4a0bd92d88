"""Ten thousand sound files and streams as broken hardware, broken software or an enemy may leave them.

    python -m tests.soak fuzz_audio
    python -m tests.soak.fuzz_audio [COUNT] [--seed N]

A child process hears each of them through the source that a device file would name and a whole detector, within bounds
of memory and time. A crash, a hang, any error but a SourceError, a sample or a score that is no number: each is a
failure that names its number, and the same seed makes it again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

INPUTS = 10_000
BATCH = 1_000  # of one child: a crash ends no more than this


def main() -> int:
    """Try them; return 1 when any failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fuzz_audio", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=INPUTS)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    results = hear(given.count, given.seed)
    print(json.dumps(results, indent=1), flush=True)
    return 1 if results["failures"] else 0


def run(*, seed: int, quick: bool) -> dict[str, Any]:
    """Hear all of them, or a few."""
    return hear(INPUTS // 50 if quick else INPUTS, seed)


def hear(count: int, seed: int) -> dict[str, Any]:
    """Return what became of so many inputs."""
    counts: dict[str, int] = {}
    results: dict[str, Any] = {"inputs": count, "seed": seed, "outcomes": counts, "failures": []}
    peaks, slowest = [], 0.0
    for first in range(0, count, BATCH):
        told = _child(seed, first, min(count, first + BATCH))
        for outcome, times in told["counts"].items():
            counts[outcome] = counts.get(outcome, 0) + times
        results["failures"] += told["failures"]
        peaks.append(told["peak_mib"] - told["held_mib"])
        slowest = max(slowest, told["slowest_s"])
    results["outcomes"] = dict(sorted(counts.items()))
    return results | {"growth_mib": max(peaks), "slowest_s": round(slowest, 3)}


def _child(seed: int, first: int, stop: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.soak.fuzz_audio_child", folder, str(seed), str(first), str(stop)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            return told
        at = (Path(folder) / "progress").read_text() if (Path(folder) / "progress").exists() else "the start"
    died = f"{at}: the child ended with {done.returncode}: {done.stderr[-500:]}"
    return {"counts": {"died": 1}, "failures": [died], "peak_mib": 0, "held_mib": 0, "slowest_s": 0.0}


if __name__ == "__main__":
    sys.exit(main())
