"""The network with the sound: against recomputing, by channels, its memory, and its delay through the real daemon.

    python -m tests.bench.streaming [--only PART ...] [--seconds S]

Writes docs/benchmarks/streaming.json; parts that were not measured keep their figures, each with its machine and
date. What is compared with one another is measured in one run, in turns, in CPU time, on one thread.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from asd_edge.benchmark.throughput import compare, cost_of, state_bytes, streaming, ten_seconds
from asd_edge.timing import in_turns
from tests.bench import daemon_load, front_end, quantised
from tests.bench.machine import machine
from tests.bench.networks import FRAMES_A_SECOND, made, multiply_adds_a_second
from tests.bench.peers import peers, published

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "streaming.json"
WIDTHS = (1.0, 0.5)
EVERY = {"1 s": 31, "0.2 s": 6}
"""Frames of 32 ms between scores."""
TOGETHER = 16
"""Channels that are compared too."""
COUNTS = (1, 2, 4, 8, 16, 32, 64)
PACKAGES = ("numpy", "onnxruntime", "torch", "librosa", "onnx", "paho-mqtt")


def main() -> None:
    """Measure, and write each part when it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=25.0, help="length of each run of comparisons")
    arguments = parser.parse_args()
    measure(arguments.only, arguments.seconds)


def measure(parts: list[str], seconds: float = 25.0) -> None:
    """Measure these parts and put them into the results."""
    torch.set_num_threads(1)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in parts:
        with threadpool_limits(1):
            figures = PARTS[part](seconds)
        results[part] = {"machine": machine(*PACKAGES), **figures}
        ordered = {name: results[name] for name in PARTS if name in results}
        RESULTS.write_text(json.dumps(ordered, indent=1, allow_nan=False) + "\n")
        print(json.dumps({part: figures}, indent=1), flush=True)


def recomputed(seconds: float) -> dict[str, Any]:
    """Streaming against recomputing ten seconds for every score: costs of a second of one channel's sound."""
    by_width = {}
    for width in WIDTHS:
        ways = peers(made(width)) | (published() if width == max(WIDTHS) else {})
        costs = compare(made(width).pipeline(), ways, EVERY, together=(1, TOGETHER), seconds=seconds)
        by_width[str(width)] = {
            every: {
                way: asdict(cost)
                | {
                    "ratio": cost.seconds / found["streaming"].seconds,
                    "ratio_together": cost.seconds / found[f"streaming {TOGETHER}"].seconds,
                }
                for way, cost in found.items()
            }
            for every, found in costs.items()
        }
    return {"widths": by_width}


def channels(seconds: float) -> dict[str, Any]:
    """Cost of a second of one channel's sound by how many are advanced together, beside the core's arithmetic."""
    matrices = np.random.default_rng(0).standard_normal((2, 1024, 1024), dtype=np.float32)
    by_width = {}
    for width in WIDTHS:
        pipeline = made(width).pipeline()
        every = EVERY["1 s"]
        things = {str(count): streaming(pipeline, channels=count, every=every) for count in COUNTS}
        times = in_turns({**things, "matmul": partial(np.matmul, *matrices)}, seconds=seconds)
        rate = 1024**3 / times["matmul"].median
        needed = multiply_adds_a_second(made(width).network)
        costs = {n: cost_of(times[str(n)], FRAMES_A_SECOND / (every * n)) for n in COUNTS}
        worst = max(cost.seconds for cost in costs.values())
        by_width[str(width)] = {
            "costs": {str(n): asdict(cost) for n, cost in costs.items()},
            "channels_a_core": 1.0 / worst,
            "largest_deviation_from_one": max(abs(c.seconds / costs[1].seconds - 1.0) for c in costs.values()),
            "multiply_adds_a_second_of_sound": needed,
            "core_multiply_adds_a_second": rate,
            "core_deviation": times["matmul"].deviation / times["matmul"].median,
            "share_of_the_core": needed / (worst * rate),
            "channels_by_arithmetic_alone": rate / needed,
        }
    return {"widths": by_width}


def state(_seconds: float) -> dict[str, Any]:
    """Bytes remembered of a channel, at the most, full width."""
    pipeline = made(1.0).pipeline()
    return {"shipped": state_bytes(pipeline), "ten seconds": state_bytes(ten_seconds(pipeline, EVERY["0.2 s"]))}


def int8(seconds: float) -> dict[str, Any]:
    """fp32 against int8."""
    return {"rows": quantised.measure(WIDTHS, seconds=seconds / 4)}


PARTS: dict[str, Callable[[float], dict[str, Any]]] = {
    "recomputed": recomputed,
    "channels": channels,
    "state": state,
    "int8": int8,
    "front_end": lambda _seconds: front_end.measure(),
    "memory": lambda _seconds: daemon_load.memory(),
    "latency": lambda _seconds: daemon_load.latency(made(1.0)),
}


if __name__ == "__main__":
    main()
