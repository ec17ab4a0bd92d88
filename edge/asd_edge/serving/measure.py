"""What each way to run a bundle costs on this device, and whether it is true."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.variants import Precision
from asd_edge.embedding.streamed import STEP
from asd_edge.errors import AsdEdgeError
from asd_edge.pipeline import Pipeline, SegmentStreams
from asd_edge.serving.choice import Candidate, Engine
from asd_edge.serving.verify import Verdict, verify
from asd_edge.timing import in_turns

USUAL_S = 2.0
"""Seconds to measure: forty turns, which the median of a device that does other things needs."""
_MOST_CHANNELS = 16  # of one run of the network

Way = tuple[Engine, Precision]


def judged(
    bundle: Bundle, ways: Mapping[Way, Callable[[], Pipeline]], *, channels: int, seconds: float = USUAL_S
) -> list[Candidate]:
    """Hold every way to the golden segments and measure those that pass, in turns; return one candidate for each.

    Args:
        bundle: seen as any variant of the kind that is to serve.
        ways: makes the pipeline of each; an AsdEdgeError is the reason why it is out.
        channels: heard at once.
        seconds: to measure, in all.
    """
    said: dict[Way, dict[str, Any]] = {}
    passed: dict[Way, Callable[[], object]] = {}
    for way, make in ways.items():
        view = bundle.at(way[1])
        try:
            pipeline = make()
            verdict = verify(view, pipeline, way[0])
        except AsdEdgeError as error:
            said[way] = {"out": f"{error.what}: {error.found}"[:1000]}
            continue
        parity = verdict.deviation if math.isfinite(verdict.deviation) else None
        said[way] = {"parity": parity, "out": _objection(view, verdict, way[0])}
        if said[way]["out"] is None:
            passed[way] = second_of_sound(pipeline, channels)
    times = in_turns(passed, seconds=seconds, clock=perf_counter) if passed else {}
    share = min(channels, _MOST_CHANNELS) * _turn_s(bundle)
    for way, time in times.items():
        said[way] |= {"seconds": time.median / share, "deviation": time.deviation / share}
    return [Candidate(engine=way[0], precision=way[1], **fields) for way, fields in said.items()]


def _objection(view: Bundle, verdict: Verdict, engine: str) -> str | None:
    """Say why a variant may not be chosen, whatever its speed; None where it may.

    A bundle's note is of the CPU that exported it, and says nothing of what another engine makes of the graph.
    """
    note = view.variant.parity.note
    if not verdict.passed:
        return f"it fails parity: {verdict}"
    if note is not None and engine == "onnxruntime" and view.precision != "fp32":  # that is what every device can run
        return f"the bundle says: {note}"
    return None


def second_of_sound(pipeline: Pipeline, channels: int) -> Callable[[], object]:
    """Return one step of segments of some channels, about a second, in the small blocks that a daemon hears.

    Noise does: neither the network nor the front end takes another time for other sound.
    """
    streams = SegmentStreams(pipeline)
    channels = min(channels, _MOST_CHANNELS)
    states = [streams.initial_state() for _ in range(channels)]
    random = np.random.default_rng(0)
    samples = pipeline.segment.step * pipeline.front_end.hop
    sound = (0.05 * random.standard_normal((channels, samples))).astype(np.float32)
    blocks: Sequence[np.ndarray] = np.array_split(sound, math.ceil(pipeline.segment.step / STEP), axis=1)

    def hear() -> None:
        for block in blocks:
            streams.advance(states, list(block))

    for _ in range(math.ceil(pipeline.shortest_samples / samples)):
        hear()  # until every step completes a segment
    return hear


def _turn_s(bundle: Bundle) -> float:
    manifest = bundle.manifest
    return manifest.segment.step * manifest.front_end.hop / manifest.front_end.sample_rate
