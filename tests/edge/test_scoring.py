"""Distances, aggregation and windows against formulas written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from asd_edge.scoring.aggregation import (
    EmbeddedSegments,
    Windows,
    WindowSpec,
    score_window,
    segment_weights,
)
from asd_edge.scoring.backends.nearest_centre import NearestCentre
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.scoring.distances import mean_centre


def f32(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def segments(count: int, *, seed: int = 0, first: int = 0, dims: int = 5) -> EmbeddedSegments:
    generator = np.random.default_rng(seed)
    return EmbeddedSegments(
        first_frame=np.arange(first, first + count) * 32,
        embeddings=generator.normal(size=(count, dims)).astype(np.float32),
        power=generator.uniform(0.5, 1.0, count).astype(np.float32),
        high_power=generator.uniform(0.1, 0.2, count).astype(np.float32),
    )


def known(*centres: NDArray[np.float32], idle_floor: float = 0.0) -> ConditionSet:
    conditions = tuple(Condition(f"c{i}", {"references": each}, 0.1) for i, each in enumerate(centres))
    return ConditionSet(NearestCentre(), conditions, idle_floor)


def test_distance_to_a_condition_is_scipys_cosine_distance_to_its_nearest_centre() -> None:
    generator = np.random.default_rng(1)
    one = generator.normal(size=(3, 8)).astype(np.float32)
    two = 7.0 * generator.normal(size=(2, 8)).astype(np.float32)
    x = 0.01 * generator.normal(size=(6, 8)).astype(np.float32)
    conditions = known(one, two)
    expected = np.stack([cdist(x, one, "cosine").min(axis=1), cdist(x, two, "cosine").min(axis=1)], axis=1)
    np.testing.assert_allclose(conditions.distances(x), expected, atol=1e-6)  # float32 against float64


def test_a_centre_is_the_mean_over_clips_of_each_clips_mean() -> None:
    short = np.array([[1.0, 0.0]], dtype=np.float32)
    long = np.array([[0.0, 1.0]] * 9, dtype=np.float32)
    np.testing.assert_allclose(mean_centre([short, long]), [0.5, 0.5])


def test_idle_segments_have_no_weight_in_either_kind() -> None:
    power, high = f32(1.0, 0.1, 1.0), f32(0.3, 9.0, 0.1)
    plain = segment_weights(power, high, idle_floor=0.1, aggregation="mean")
    weighted = segment_weights(power, high, idle_floor=0.1, aggregation="power")
    np.testing.assert_allclose(plain, [0.5, 0.0, 0.5])
    np.testing.assert_allclose(weighted, [0.75, 0.0, 0.25], rtol=1e-6)


@pytest.mark.parametrize("aggregation", ["mean", "power"])
def test_a_window_of_silence_has_no_score(aggregation: str) -> None:
    silence = f32(0.0, 0.0)
    assert segment_weights(silence, silence, idle_floor=0.0, aggregation=aggregation) is None


def test_silence_between_events_changes_no_score() -> None:
    events = segments(3)
    conditions = known(np.ones((1, 5), dtype=np.float32), idle_floor=0.01)
    silent = EmbeddedSegments(
        np.arange(3, 6) * 32, segments(3, seed=9).embeddings, f32(0.01, 0.0, 0.001), f32(0.0, 0.0, 0.0)
    )
    for aggregation in ("mean", "power"):
        alone = score_window(events, conditions, aggregation)
        among = score_window(events.joined(silent), conditions, aggregation)
        assert alone is not None
        assert among is not None
        assert among.score == pytest.approx(alone.score, abs=1e-7)


def test_a_window_belongs_to_the_condition_nearest_over_all_its_segments() -> None:
    x = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.float32)
    window = EmbeddedSegments(np.arange(3), x, f32(1, 1, 1), f32(1, 1, 1))
    scored = score_window(window, known(f32(1, 0)[None], f32(0, 1)[None]), "mean")
    assert scored is not None
    assert scored.condition == 1
    assert scored.score == pytest.approx(1 / 3)


@given(st.integers(1, 6), st.data(), st.integers(0, 30))
def test_windows_are_the_same_for_any_partition_of_the_segments(size: int, data: st.DataObject, n: int) -> None:
    every = data.draw(st.integers(1, size))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    whole = segments(n)
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    windows = Windows(WindowSpec(size, every))
    got = [window for piece in pieces for window in windows.push(piece)] + windows.flush()
    expected = [list(range(i, i + size)) for i in range(0, n - size + 1, every)]
    if not expected and n > 0:
        expected = [list(range(n))]  # a stream shorter than a window: one window of what there is
    assert [list(window.first_frame // 32) for window in got] == expected


def test_a_window_that_would_skip_segments_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be due"):
        WindowSpec(segments=2, every=3)
