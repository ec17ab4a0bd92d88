"""Sound and a transparent embedder for tests that need a pipeline but no network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import Aggregation, WindowSpec
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.conditions import Condition, ConditionSet

RATE = 16_000
SEGMENT = SegmentSpec(frames=16, step=8)
WINDOW = WindowSpec(segments=4, every=1)


class MeanSpectrum:
    """An embedder whose result can be computed by hand: the mean log-mel spectrum, centred over the bands."""

    dims = 128

    def embed(self, features: NDArray[np.float32], spectra: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        mean = features.mean(axis=1)
        return np.asarray(mean - mean.mean(axis=1, keepdims=True), dtype=np.float32)


def pipeline(aggregation: Aggregation = "mean") -> Pipeline:
    return Pipeline(FrontEndSpec(), SEGMENT, WINDOW, aggregation, MeanSpectrum())


def noise(seconds: float, *, seed: int = 0, level: float = 0.05) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    return (level * generator.standard_normal(int(seconds * RATE))).astype(np.float32)


def tone(seconds: float, hertz: float, *, level: float = 0.05) -> NDArray[np.float32]:
    time = np.arange(int(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def conditions_of(samples: NDArray[np.float32], *, threshold: float, idle_floor: float = 1e-6) -> ConditionSet:
    from asd_edge.offline import embed_clip

    centre = embed_clip(pipeline(), samples, name="normal").segments.embeddings.mean(axis=0)
    condition = Condition("normal", {"references": centre[None]}, threshold)
    return ConditionSet(NearestCentre(), (condition,), idle_floor)
