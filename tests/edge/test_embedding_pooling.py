"""Attention pooling over a stream against float64: at extreme logits, in steady sound, and after a long time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.dsp.segments import SegmentSpec
from asd_edge.embedding.pooling import HeardFrames, PooledSegments, SegmentPooling

BANDS, HEADS, DEPTH = 3, 2, 5
SPEC = SegmentSpec(frames=24, step=6)


def heard(count: int, *, level: float = 1.0, spread: float = 1.0, logits: float = 3.0, seed: int = 0) -> HeardFrames:
    random = np.random.default_rng(seed)
    features = level + spread * random.standard_normal((count, BANDS, DEPTH))
    attention = logits * random.standard_normal((count, BANDS, HEADS))
    power = random.random((2, count)).astype(np.float32)
    return HeardFrames(0, features.astype(np.float32), attention.astype(np.float32), power[0], power[1])


def by_formula(frames: HeardFrames, start: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """m and v of the segment that begins at a frame, in float64, v about m."""
    part = slice(start, start + SPEC.frames)
    logits, values = frames.logits[part].astype(np.float64), frames.features[part].astype(np.float64)
    weights = np.exp(logits - logits.max(axis=0))
    weights /= weights.sum(axis=0)
    mean = np.einsum("tbk,tbd->bkd", weights, values)
    return mean, np.einsum("tbk,tbkd->bkd", weights, (values[:, :, None] - mean) ** 2)


def check(pooled: PooledSegments, frames: HeardFrames, *, spread: float) -> None:
    assert len(pooled) > 0
    for i, start in enumerate(pooled.first_frame):
        mean, variance = by_formula(frames, int(start))
        np.testing.assert_allclose(pooled.mean[i], mean, rtol=2e-6, atol=1e-6 * spread)
        # relative to the spread of the sound and not to its level: what the signed root then makes of it is right too
        np.testing.assert_allclose(pooled.variance[i], variance, atol=1e-5 * spread**2, rtol=0.0)


@pytest.mark.parametrize(("level", "spread"), [(1.0, 1.0), (0.0, 1e-3), (100.0, 1.0)])
def test_moments_are_those_of_the_formula(level: float, spread: float) -> None:
    frames = heard(60, level=level, spread=spread)
    check(SegmentPooling(SPEC, (BANDS, HEADS, DEPTH)).push(frames), frames, spread=spread)


def test_a_steady_sound_keeps_its_small_variance() -> None:
    """m∘m is a million times v here: (X∘X)ᵀA − m∘m in float32 would be off by a tenth of v, and sometimes negative."""
    frames = heard(60, level=1.0, spread=1e-3)
    pooled = SegmentPooling(SPEC, (BANDS, HEADS, DEPTH)).push(frames)
    for i, start in enumerate(pooled.first_frame):
        _, variance = by_formula(frames, int(start))
        np.testing.assert_allclose(pooled.variance[i], variance, rtol=5e-3, atol=1e-10)
        segment, logits = frames.features[start : start + SPEC.frames], frames.logits[start : start + SPEC.frames]
        weights = np.exp(logits) / np.exp(logits).sum(axis=0)
        mean = np.einsum("tbk,tbd->bkd", weights, segment)
        naive = np.einsum("tbk,tbd->bkd", weights, segment * segment) - mean * mean
        assert np.abs(naive - variance).max() > 10 * np.abs(pooled.variance[i] - variance).max()


@pytest.mark.parametrize("logits", [0.0, 80.0, 3000.0])
def test_no_logit_is_too_large_or_too_small(logits: float) -> None:
    frames = heard(60, logits=logits)
    frames.logits[20:40] -= np.float32(logits)
    check(SegmentPooling(SPEC, (BANDS, HEADS, DEPTH)).push(frames), frames, spread=1.0)


def test_nothing_drifts_in_a_long_stream() -> None:
    """Loud events come and go for 30,000 frames; the last segments are as exact as the first."""
    frames = heard(30_000, logits=6.0)
    frames.features[::997] *= np.float32(1e4)
    pooling = SegmentPooling(SPEC, (BANDS, HEADS, DEPTH))
    pooled = pooling.push(frames)
    fresh = SegmentPooling(SPEC, (BANDS, HEADS, DEPTH))
    last = slice(len(frames.features) - 10 * SPEC.frames, None)
    alone = fresh.push(
        HeardFrames(0, frames.features[last], frames.logits[last], frames.power[last], frames.high_power[last])
    )
    for name in ("mean", "variance", "power"):
        found, expected = getattr(pooled, name)[-len(alone) :], getattr(alone, name)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_segments_that_are_not_whole_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="whole number of steps"):
        SegmentPooling(SegmentSpec(frames=10, step=4), (BANDS, HEADS, DEPTH))
