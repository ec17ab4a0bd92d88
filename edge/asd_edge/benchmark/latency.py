"""How late a score is: channels in real time through the scorer of the daemon."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep

import numpy as np
from numpy.typing import NDArray

from asd_edge.benchmark.throughput import noise
from asd_edge.daemon.scorer import Line, Scorer
from asd_edge.detector import Detector
from asd_edge.events import Event, WindowScore
from asd_edge.pipeline import Pipeline, SegmentStreams
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the capture of a score's last sample until the score, at the median and the 99th percentile.

    `context`: how much of it the network waits for sound behind the window.
    """

    scores: int
    context: float
    p50: float
    p99: float


def measure_latency(pipeline: Pipeline, *, channels: int, seconds: float) -> Latency:
    """Let channels of noise run in real time, in blocks of a hop, and take the delay of every score.

    `seconds` of sound count, after those until the first score: a 99th percentile needs some hundred scores. A score
    is taken when it is ready to be published; what the broker adds is not in it.
    """
    streams, scorer = SegmentStreams(pipeline), Scorer()
    rate, hop = pipeline.front_end.sample_rate, pipeline.front_end.hop
    anything = {"references": np.ones((1, pipeline.embedder.dims), np.float32)}
    warm = ConditionSet(NearestCentre(), (Condition("noise", anything, 2.0),), 0.0)
    delays: list[float] = []

    def take(event: Event) -> None:
        if isinstance(event, WindowScore) and event.delay_s is not None:
            delays.append(event.delay_s)

    lines = [Line(scorer, Detector(f"channel-{i}", streams, warm, DecisionSpec()), take) for i in range(channels)]
    whole = seconds + pipeline.first_score_samples / rate
    begin = monotonic() + 0.5
    sound = noise(whole, rate)
    threads = [
        threading.Thread(target=_play, args=(line, np.roll(sound, i * 997), begin + 0.002 * i, rate, hop), daemon=True)
        for i, line in enumerate(lines)
    ]
    scorer.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scorer.stop(patience_s=10.0)
    for line in lines:
        if line.error is not None:
            raise line.error
    context = pipeline.context * hop / rate
    p50, p99 = (float(np.percentile(delays, share)) for share in (50.0, 99.0))
    return Latency(len(delays), context, p50, p99)


def _play(line: Line, samples: NDArray[np.float32], begin: float, rate: int, hop: int) -> None:
    """Push a hop when its last sample is due, as a microphone does."""
    with suppress(Exception):  # which stays in the line, for the main thread
        for start in range(0, len(samples) - hop + 1, hop):
            due = begin + (start + hop) / rate
            sleep(max(0.0, due - monotonic()))
            line.push(Block(samples[start : start + hop], start, due, arrived=due))
        line.finish()
