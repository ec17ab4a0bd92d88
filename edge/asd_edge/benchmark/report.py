"""`asd-edge bench`: everything about one bundle on this machine."""

from __future__ import annotations

import os
import platform
import resource
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from asd_edge.benchmark.latency import Latency, measure_latency
from asd_edge.benchmark.throughput import (
    Cost,
    Score,
    by_channels,
    compare,
    noise,
    recomputing,
    state_bytes,
    whole_segments,
    whole_window,
)
from asd_edge.bundle.bundle import Bundle
from asd_edge.dsp.front_end import FrontEnd
from asd_edge.engines.embedder import StreamEmbedder
from asd_edge.pipeline import Pipeline
from asd_edge.timing import in_turns

TWICE = {"1 s": 31, "0.2 s": 6}
"""Frames of 32 ms between the scores that are compared."""


@dataclass(frozen=True)
class Report:
    """Ratios first; seconds are of one core, for a second of one channel's sound.

    `variant`: kind and precision of the graphs that were measured.
    `ratios`: by time between scores, how many times cheaper streaming is than recomputing a window of ten seconds.
    `costs`: the two, and their spread. `channels`: cost by channels advanced together. `front_end`: of it, sound to
    features. `state_bytes`: remembered of a channel. `resident_bytes`: of this process at its largest.
    """

    bundle: str
    variant: str
    machine: dict[str, str]
    ratios: dict[str, float]
    costs: dict[str, dict[str, Cost]]
    channels: dict[int, Cost]
    front_end: Cost
    state_bytes: int
    latency: Latency
    resident_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return it as text."""
        text = [f"bundle {self.bundle}, {self.variant}, on {', '.join(self.machine.values())}", ""]
        for every, ratio in self.ratios.items():
            cost = self.costs[every]
            text.append(
                f"a score every {every:6} {ratio:6.1f} times cheaper than recomputing 10 s "
                f"({_ms(cost['recomputing'])} against {_ms(cost['streaming'])} a second of sound)"
            )
        text += ["", "channels together   cost of a second of sound   channels in real time on a core"]
        text += [f"{count:17}   {_ms(cost):>25}   {cost.channels:31.0f}" for count, cost in self.channels.items()]
        late = self.latency
        p50, p99, context = (f"{1e3 * value:.0f} ms" for value in (late.p50, late.p99, late.context))
        return [
            *text,
            "",
            f"front end alone     {_ms(self.front_end)} a second of sound",
            f"memory              {self.state_bytes / 1e6:.2f} MB a channel, {self.resident_bytes / 1e6:.0f} MB in all",
            f"delay of a score    p50 {p50}, p99 {p99} after its last sample, {context} of it context"
            f" ({late.scores} scores)",
        ]


def measure(bundle: Bundle, *, channels: int, threads: int = 1, seconds: float = 20.0) -> Report:
    """Measure the variant in view on this machine; takes about three times `seconds`, one of them in real time.

    Raises:
        EngineError: the engine cannot load a graph.
    """
    pipeline = bundle.pipeline(threads)
    counts = tuple(sorted({1, *(2**k for k in range(1, 7) if 2**k < channels), channels}))
    streamed = isinstance(pipeline.embedder, StreamEmbedder)
    twice = TWICE if streamed else {f"{_step_s(pipeline):.1f} s": pipeline.segment.step}
    recompute = {"recomputing": _recompute(pipeline)}
    costs = compare(pipeline, recompute, twice, seconds=seconds / 2)
    largest = max(twice.values())
    return Report(
        bundle=bundle.manifest.name,
        variant=f"{bundle.kind}/{bundle.precision}",
        machine=machine(),
        ratios={name: cost["recomputing"].seconds / cost["streaming"].seconds for name, cost in costs.items()},
        costs=costs,
        channels=by_channels(pipeline, counts, every=largest, seconds=seconds / 2),
        front_end=front_end_cost(pipeline, seconds=seconds / 8),
        state_bytes=state_bytes(pipeline),
        latency=measure_latency(pipeline, channels=channels, seconds=seconds),
        resident_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def front_end_cost(pipeline: Pipeline, *, seconds: float) -> Cost:
    """Return the cost of a second of sound until its features, in blocks of a quarter."""
    front_end = FrontEnd(pipeline.front_end, pipeline.mel)
    quarter = noise(0.25, pipeline.front_end.sample_rate)
    time = in_turns({"push": lambda: front_end.push(quarter)}, seconds=seconds)["push"]
    return Cost(4.0 * time.median, 4.0 * time.deviation)


def machine() -> dict[str, str]:
    """Return what a figure depends on: processor, cores and versions."""
    return {
        "processor": _processor(),
        "cores": f"{os.cpu_count()} cores",
        "python": f"Python {platform.python_version()}",
        **{name: f"{name} {version(name)}" for name in ("numpy", "onnxruntime")},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as text:
            names = [line.partition(":")[2].strip() for line in text if line.lower().startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _recompute(pipeline: Pipeline) -> Score:
    embedder = pipeline.embedder
    if isinstance(embedder, StreamEmbedder):
        return recomputing(pipeline, whole_window(embedder))
    return whole_segments(pipeline)


def _step_s(pipeline: Pipeline) -> float:
    return pipeline.segment.step * pipeline.front_end.hop / pipeline.front_end.sample_rate


def _ms(cost: Cost) -> str:
    return f"{cost.seconds * 1e3:.2f} ± {cost.deviation * 1e3:.2f} ms"
