"""Power weighting and idle gating of a stream in blocks equal the formula on the whole clip."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asd_edge.detector import Detector
from asd_edge.events import WindowScore, WindowState
from asd_edge.offline import EmbeddedClip, embed_clip
from asd_edge.pipeline import Pipeline, SegmentStreams
from asd_edge.scoring.aggregation import WindowSpec
from asd_edge.scoring.conditions import ConditionSet
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.sources.block import Block
from tests.edge.sound import RATE, conditions_of, noise, pipeline, tone

KNOWN = replace(conditions_of(noise(4.0), threshold=0.5), idle_floor=1e-6)


def machine(aggregation: Literal["mean", "power"]) -> Pipeline:
    return replace(pipeline(), aggregation=aggregation, window=WindowSpec(segments=4, every=1))


def sound() -> NDArray[np.float32]:
    """A machine that runs, hisses, hums, and stands still in between."""
    pause = np.zeros(int(1.3 * RATE), np.float32)
    hum = tone(1.7, 200.0, level=0.1)
    return np.concatenate([noise(2.0), pause, hum, noise(0.5, seed=2, level=0.3), pause, pause, noise(2.0, seed=3)])


def by_formula(clip: EmbeddedClip, conditions: ConditionSet, aggregation: str, size: int) -> list[float | None]:
    """w_s = P_s / Σ P over the segments of a window that are not idle; score = Σ w_s a_s; None when Σ P = 0."""
    segments = clip.segments
    centre = conditions.conditions[0].fitted["references"][0].astype(np.float64)
    rows = segments.embeddings.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(centre)
    distances = 1.0 - rows @ centre / np.maximum(lengths, 1e-30)  # silence may have no direction
    power = segments.high_power.astype(np.float64) if aggregation == "power" else np.ones(len(segments))
    power = np.where(segments.power > conditions.idle_floor, power, 0.0)
    scores: list[float | None] = []
    for start in range(len(segments) - size + 1):
        part = slice(start, start + size)
        total = power[part].sum()
        scores.append(None if total == 0.0 else float((power[part] * distances[part]).sum() / total))
    return scores


@pytest.mark.parametrize("aggregation", ["mean", "power"])
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 9 * RATE), max_size=10))
def test_a_stream_equals_the_formula_on_the_whole(aggregation: Literal["mean", "power"], cuts: list[int]) -> None:
    subject, samples = machine(aggregation), sound()
    detector = Detector("fan", SegmentStreams(subject), KNOWN, DecisionSpec())
    edges = [0, *sorted(cut for cut in cuts if cut < len(samples)), len(samples)]
    found = [
        event
        for start, stop in pairwise(edges)
        for event in detector.process(Block(samples[start:stop], start, 0.0))
        if isinstance(event, WindowScore)
    ]
    expected = by_formula(embed_clip(subject, samples, name="sound"), KNOWN, aggregation, size=4)
    assert None in expected, "the sound should have a window that is idle throughout"
    assert [event.state is WindowState.IDLE for event in found] == [score is None for score in expected]
    for event, score in zip(found, expected, strict=True):
        assert event.score == (None if score is None else pytest.approx(score, abs=1e-5))


def test_the_two_aggregations_differ_where_power_does() -> None:
    clip = embed_clip(machine("mean"), sound(), name="sound")
    plain, weighted = (by_formula(clip, KNOWN, kind, size=4) for kind in ("mean", "power"))
    apart = [abs(a - b) for a, b in zip(plain, weighted, strict=True) if a is not None and b is not None]
    assert max(apart) > 0.01
