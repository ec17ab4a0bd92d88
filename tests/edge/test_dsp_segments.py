"""Segments against slices of the same frames."""

from __future__ import annotations

import numpy as np
import pytest

from asd_edge.dsp.front_end import Frames
from asd_edge.dsp.segments import Segmenter, SegmentSpec


def frames(first: int, count: int) -> Frames:
    features = np.arange(first, first + count, dtype=np.float32)[:, None] + np.linspace(0, 0.5, 3, dtype=np.float32)
    power = np.arange(first, first + count, dtype=np.float32)
    return Frames(first, features, power, 2 * power)


def test_segments_are_slices_and_powers_are_means() -> None:
    given = frames(0, 21)
    segments = Segmenter(SegmentSpec(frames=8, step=4), bands=3).push(given)
    assert segments.first_frame.tolist() == [0, 4, 8, 12]
    assert segments.first_frame.dtype == np.int64
    for start, features in zip(segments.first_frame, segments.features, strict=True):
        np.testing.assert_array_equal(features, given.features[start : start + 8])
    np.testing.assert_allclose(segments.power, segments.first_frame + 3.5)
    np.testing.assert_allclose(segments.high_power, 2 * (segments.first_frame + 3.5))


def test_ten_seconds_give_eight_segments_of_the_default_size() -> None:
    segments = Segmenter(SegmentSpec(), bands=3).push(frames(0, 311))
    assert segments.features.shape == (8, 64, 3)


def test_a_stream_begins_at_whichever_frame_comes_first() -> None:
    segmenter = Segmenter(SegmentSpec(frames=4, step=2), bands=3)
    assert segmenter.push(frames(100, 7)).first_frame.tolist() == [100, 102]
    assert segmenter.push(frames(107, 1)).first_frame.tolist() == [104]


def test_frames_that_do_not_follow_are_refused() -> None:
    segmenter = Segmenter(SegmentSpec(frames=4, step=2), bands=3)
    segmenter.push(frames(0, 5))
    with pytest.raises(ValueError, match="frame 6 does not follow frame 4"):
        segmenter.push(frames(6, 5))


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="do not have 4 features"):
        Segmenter(SegmentSpec(), bands=4).push(frames(0, 5))


@pytest.mark.parametrize(("size", "step"), [(4, 0), (4, 5), (0, 0)])
def test_a_spec_that_leaves_frames_unheard_is_refused(size: int, step: int) -> None:
    with pytest.raises(ValueError, match="cannot start every"):
        SegmentSpec(frames=size, step=step)
