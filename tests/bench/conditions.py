"""What many operating conditions cost, with the default bundle and every backend.

    python -m tests.bench.conditions [--seconds S]

Writes docs/benchmarks/conditions.json. CPU time on one thread, all sizes of a backend in turns. A score is the whole
way through the real detector: 32 new frames of one channel, front end, network, pooling, distances, decision.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from asd_edge.benchmark.throughput import noise
from asd_edge.bundle.archive import load_bundle
from asd_edge.detector import Detector
from asd_edge.pipeline import Pipeline, SegmentStreams
from asd_edge.scoring.aggregation import EmbeddedSegments, score_window
from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.backends.kinds import BACKENDS
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block
from asd_edge.timing import Time, in_turns
from tests.bench.machine import machine

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "conditions.json"
SIZES = {"nearest_centre": (1, 10, 100, 1000)}
OTHERS = (1, 100)
SOURCE_CLIPS, ENROLLED_CLIPS = 90, 3


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each run of comparisons")
    measure(parser.parse_args().seconds)


def measure(seconds: float = 10.0) -> None:
    """Measure every backend and write the results."""
    pipeline = load_bundle("default").pipeline()
    results: dict[str, Any] = {"machine": machine("numpy", "onnxruntime"), "backends": {}}
    with threadpool_limits(1):
        for name, backend in BACKENDS.items():
            results["backends"][name] = measured(pipeline, backend, SIZES.get(name, OTHERS), seconds)
            print(name, json.dumps(results["backends"][name]), flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def measured(pipeline: Pipeline, backend: Backend, sizes: tuple[int, ...], seconds: float) -> dict[str, Any]:
    """Return the cost of a score with so many enrolled conditions, and of its `score_window` alone."""
    known = {size: enrolled(backend, pipeline, size) for size in sizes}
    window = window_of(clip(np.random.default_rng(5), pipeline))
    whole: dict[str, Callable[[], object]] = {f"score {n}": scoring(pipeline, known[n]) for n in sizes}
    alone: dict[str, Callable[[], object]] = {
        f"window {n}": lambda n=n: score_window(window, known[n], pipeline.aggregation)  # type: ignore[misc]
        for n in sizes
    }
    times = in_turns(whole | alone, seconds=seconds)
    return {str(n): figures(times[f"score {n}"], times[f"window {n}"], times[f"score {sizes[0]}"]) for n in sizes}


def figures(score: Time, window: Time, one: Time) -> dict[str, Any]:
    """Return seconds, and the ratio of a whole score to that with one condition."""
    return {"score": asdict(score), "score_window": asdict(window), "ratio": score.median / one.median}


def enrolled(backend: Backend, pipeline: Pipeline, size: int) -> ConditionSet:
    """Return conditions of three clips each, beside a source of ninety that they lean on."""
    generator = np.random.default_rng(1)
    source = backend.fit({"source": [clip(generator, pipeline) for _ in range(SOURCE_CLIPS)]})
    conditions = tuple(
        Condition(
            f"c{number}",
            backend.fit({"clips": [clip(generator, pipeline) for _ in range(ENROLLED_CLIPS)]}, source=source),
            1.0,
        )
        for number in range(size)
    )
    return ConditionSet(backend, conditions, 0.0)


def clip(generator: np.random.Generator, pipeline: Pipeline) -> NDArray[np.float32]:
    """Return the embeddings of one clip: a window's segments around a direction of its own."""
    dims = pipeline.embedder.dims
    direction = generator.standard_normal(dims)
    return (direction + 0.3 * generator.standard_normal((pipeline.window.segments, dims))).astype(np.float32)


def window_of(embeddings: NDArray[np.float32]) -> EmbeddedSegments:
    """Return a window of these embeddings, none of them idle."""
    loud = np.ones(len(embeddings), np.float32)
    return EmbeddedSegments(np.arange(len(embeddings)), embeddings, loud, loud)


def scoring(pipeline: Pipeline, known: ConditionSet) -> Callable[[], object]:
    """Return what lets a detector hear as much as one more score needs."""
    size = pipeline.segment.step * pipeline.front_end.hop * pipeline.window.every
    samples = noise(size / pipeline.front_end.sample_rate, pipeline.front_end.sample_rate)
    detector = Detector("bench", SegmentStreams(pipeline), known, DecisionSpec())
    starts = count(0, size)

    def score() -> object:
        return detector.process(Block(samples, next(starts), 0.0))

    while not score():  # warm up and fill the first window
        pass
    return score


if __name__ == "__main__":
    main()
