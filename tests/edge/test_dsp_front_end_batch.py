"""Many channels through one front end: each hears what it would hear alone, and memory stands still."""

from __future__ import annotations

import copy
import tracemalloc
from time import perf_counter
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_edge.dsp.blas import BandedProduct
from asd_edge.dsp.framing import FramingState
from asd_edge.dsp.front_end import Frames, FrontEnd, FrontEndSpec

CHANNELS = 5
LENGTH = 60_000
# A product over other rows may add in another order: 4e-6 dB, and the logarithm's last bit below 64 dB as much.
PRODUCT_DB = 8e-6
PRODUCT_RELATIVE = 2e-6  # of powers, sums of 513 bins

Feature = Literal["log_mel", "magnitude"]


def sounds(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((CHANNELS, LENGTH)).astype(np.float32)


def in_random_blocks(front_end: FrontEnd, heard: NDArray[np.float32], seed: int) -> list[list[Frames]]:
    """Advance the channels by blocks of their own sizes, none and one sample among them; return what each is given."""
    generator = np.random.default_rng(seed)
    states = [front_end.initial_state() for _ in heard]
    at, given = [0] * len(heard), [[] for _ in heard]  # type: tuple[list[int], list[list[Frames]]]
    while min(at) < heard.shape[1]:
        sizes = generator.choice([0, 1, 300, 512, 1100, 4000, 30_000], len(heard)).tolist()
        blocks = [heard[c, at[c] : at[c] + size] for c, size in enumerate(sizes)]
        for channel, frames in enumerate(front_end.advance(states, blocks)):
            given[channel].append(frames)
            at[channel] += sizes[channel]
    return given


def joined(given: list[Frames], name: str) -> NDArray[np.float32]:
    return np.concatenate([getattr(frames, name) for frames in given])


def contents(state: FramingState) -> tuple[int, bytes]:
    return state.next, state.tail.tobytes()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("feature", ["log_mel", "magnitude"])
def test_each_channel_of_a_batch_hears_what_it_hears_alone(feature: Feature, seed: int) -> None:
    heard, spec = sounds(seed), FrontEndSpec(feature=feature)
    given = in_random_blocks(FrontEnd(spec), heard, seed)
    for channel, own in zip(heard, given, strict=True):
        alone = FrontEnd(spec).push(channel)
        # Magnitudes come before any matrix product: bit for bit.
        atol = PRODUCT_DB if feature == "log_mel" else 0.0
        np.testing.assert_allclose(joined(own, "features"), alone.features, rtol=0.0, atol=atol)
        for power in ("power", "high_power"):
            np.testing.assert_allclose(joined(own, power), getattr(alone, power), rtol=PRODUCT_RELATIVE)


def test_frames_of_each_channel_are_numbered_on_their_own() -> None:
    for own in in_random_blocks(FrontEnd(FrontEndSpec()), sounds(), 7):
        assert [frames.first for frames in own] == np.cumsum([0, *map(len, own)])[:-1].tolist()


def test_push_and_the_channels_of_a_batch_do_not_disturb_each_other() -> None:
    heard, front_end = sounds(), FrontEnd(FrontEndSpec())
    states = [front_end.initial_state() for _ in heard]
    given = []
    for start in range(0, LENGTH, 4000):
        given.append(front_end.push(heard[0, start : start + 4000]))
        front_end.advance(states, list(heard[::-1, start : start + 4000]))
    alone = FrontEnd(FrontEndSpec()).push(heard[0])
    np.testing.assert_allclose(joined(given, "features"), alone.features, rtol=0.0, atol=PRODUCT_DB)


def test_a_channel_of_nothing_but_nan_changes_no_bit_of_the_others() -> None:
    clean = sounds()
    spoilt = clean.copy()
    spoilt[2] = np.nan
    for feature in ("log_mel", "magnitude"):
        front_end = FrontEnd(FrontEndSpec(feature=feature))
        expected, found = in_random_blocks(front_end, clean, 1), in_random_blocks(front_end, spoilt, 1)
        for name in ("features", "power", "high_power"):
            assert np.isnan(joined(found[2], name)).all()
            for channel in (0, 1, 3, 4):
                np.testing.assert_array_equal(joined(found[channel], name), joined(expected[channel], name))


@pytest.mark.parametrize("bad", [np.zeros((512, 2), np.float32), np.float32(0.0)], ids=["two channels", "a number"])
def test_a_block_of_a_wrong_shape_changes_no_channel(bad: Any) -> None:
    heard, front_end = sounds(), FrontEnd(FrontEndSpec())
    states = [front_end.initial_state() for _ in range(3)]
    front_end.advance(states, list(heard[:3, :1500]))
    before = [contents(state) for state in states]
    for place in range(3):
        blocks: list[Any] = list(heard[:3, 1500:4000])
        blocks[place] = bad
        with pytest.raises(ValueError, match="one dimension"):
            front_end.advance(states, blocks)
        assert [contents(state) for state in states] == before


def test_states_and_blocks_that_do_not_pair_are_refused_before_anything_changes() -> None:
    front_end, block = FrontEnd(FrontEndSpec()), np.ones(2000, np.float32)
    first, second = front_end.initial_state(), front_end.initial_state()
    for states, blocks in (([first, second], [block]), ([first], [block, block]), ([first, first], [block, block])):
        with pytest.raises(ValueError, match="give each channel's state once"):
            front_end.advance(states, blocks)
    assert contents(first) == contents(second) == contents(front_end.initial_state())


def test_no_channel_and_channels_without_samples_are_given_nothing() -> None:
    front_end = FrontEnd(FrontEndSpec())
    assert front_end.advance([], []) == []
    nothing = np.zeros(0, np.float32)
    states = [front_end.initial_state(), front_end.initial_state()]
    front_end.advance(states, [np.ones(1024, np.float32), nothing])
    given = front_end.advance(states, [nothing, nothing])
    assert [(frames.first, len(frames), frames.features.shape) for frames in given] == [
        (1, 0, (0, 128)),
        (0, 0, (0, 128)),
    ]


def test_a_channel_keeps_less_than_a_frame_of_its_own() -> None:
    heard, front_end = sounds(), FrontEnd(FrontEndSpec())
    states = [front_end.initial_state() for _ in heard]
    front_end.advance(states, list(heard))
    for state in states:
        assert state.tail.base is None  # a view would keep the blocks of all channels alive
        assert len(state.tail) < 1024


def test_what_was_given_is_never_written_to_again_and_blocks_are_never_looked_at_again() -> None:
    heard, front_end = sounds(), FrontEnd(FrontEndSpec())
    states = [front_end.initial_state() for _ in heard]
    blocks = [block.copy() for block in heard[:, :4000]]
    given = front_end.advance(states, blocks)
    kept = copy.deepcopy(given)
    for block in blocks:
        block[:] = np.nan
    later = front_end.advance(states, list(heard[:, 4000:8000]))
    for frames, copied in zip(given, kept, strict=True):
        np.testing.assert_array_equal(frames.features, copied.features)
        np.testing.assert_array_equal(frames.power, copied.power)
    assert not any(np.isnan(frames.features).any() for frames in later)


@pytest.mark.parametrize("feature", ["log_mel", "magnitude"])
def test_traced_memory_stands_still_over_thousands_of_blocks(feature: Feature) -> None:
    front_end = FrontEnd(FrontEndSpec(feature=feature))
    states = [front_end.initial_state() for _ in range(4)]
    blocks = list(sounds()[:4, :700])  # not a hop: the tails run through every length

    def stream(count: int) -> tuple[int, int]:
        tracemalloc.reset_peak()
        for _ in range(count):
            front_end.push(blocks[0])
            front_end.advance(states, blocks)
        return tracemalloc.get_traced_memory()

    tracemalloc.start()
    try:
        stream(256)
        # 128 blocks of 700 are 175 hops: the tails are as long at both ends of each part.
        early, early_peak = stream(1024)
        late, late_peak = stream(3072)
    finally:
        tracemalloc.stop()
    # A frame's features are 512 bytes: one kept a block would be 1.5 MB. The numbers of frames grow by some bytes.
    assert late - early < 2048
    assert late_peak - early_peak < 2048


def test_a_banded_product_is_the_product_whatever_the_matrix() -> None:
    generator = np.random.default_rng(0)
    left = generator.random((7, 90)).astype(np.float32)
    matrices = {
        "dense": generator.random((90, 70)),
        "one column": generator.random((90, 1)),
        "nothing": np.zeros((90, 50)),
        "a band": np.triu(np.tril(generator.random((90, 90)), 3), -3),
    }
    for name, matrix in matrices.items():
        found = np.full((7, matrix.shape[1]), np.nan, np.float32)
        BandedProduct(matrix.astype(np.float32))(left, found)
        np.testing.assert_allclose(found, left.astype(np.float64) @ matrix, rtol=2e-6, err_msg=name)
        BandedProduct(matrix.astype(np.float32))(np.full((7, 90), np.nan, np.float32), found)
        assert np.isnan(found).all(), name


def test_a_hop_of_many_channels_costs_less_together_than_one_by_one() -> None:
    """The bench says how much; this catches a batch that is none."""
    front_end, block = FrontEnd(FrontEndSpec()), np.ones(512, np.float32)
    states, blocks = [front_end.initial_state() for _ in range(16)], [block] * 16
    together = apart = np.inf
    for _ in range(100):
        began = perf_counter()
        front_end.advance(states, blocks)
        middle = perf_counter()
        for state in states:
            front_end.advance([state], [block])
        together, apart = min(together, middle - began), min(apart, perf_counter() - middle)
    assert together < 0.7 * apart
