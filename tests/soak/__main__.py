"""`python -m tests.soak [SCENARIO…] [--quick] [--seed N]`: run, and write docs/benchmarks/soak.json and the page.

Each scenario stands alone; the results of the others are kept. A quick run shows that a scenario works, and writes
nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path

from asd_edge.atomic import atomic_write
from tests.bench.machine import machine
from tests.bench.render import DOCS
from tests.bench.render import main as render

SCENARIOS = ("kills", "outage", "memory", "faults", "commands", "fuzz_audio", "start_stop")


def main() -> None:
    """Run the scenarios named, all of them without a name."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("scenarios", nargs="*", choices=SCENARIOS, metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="a small share of it; the results are printed only")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of everything that is left to chance")
    given = parser.parse_args()
    for name in given.scenarios or SCENARIOS:
        print(f"{name}, seed {given.seed}", flush=True)
        results = importlib.import_module(f"tests.soak.{name}").run(seed=given.seed, quick=given.quick)
        print(json.dumps(results, indent=1), flush=True)
        if not given.quick:
            _keep(DOCS / "benchmarks" / "soak.json", name, results)
            render()


def _keep(path: Path, name: str, results: dict[str, object]) -> None:
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept[name] = {"machine": machine("numpy", "onnxruntime", "paho-mqtt")} | results
    with atomic_write(path) as stream:
        stream.write((json.dumps(kept, indent=1, sort_keys=True) + "\n").encode())


if __name__ == "__main__":
    main()
