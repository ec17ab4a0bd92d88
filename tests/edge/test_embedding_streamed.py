"""The network with the sound equals the whole signal in its interior, however the sound arrives."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asd_edge.bundle.bundle import Bundle
from asd_edge.dsp.front_end import Frames
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.embedding import streamed
from asd_edge.embedding.streamed import StreamedEmbedding
from asd_edge.engines.onnx_stream import OnnxStreamEmbedder
from asd_edge.pipeline import SegmentStream
from asd_edge.scoring.aggregation import EmbeddedSegments
from tests.edge.stream_reference import reference, tiny_streamed
from tests.edge.tiny_bundle import STREAMED, make_tiny_bundle
from tests.golden.tiny_stream import REACH

SPEC = SegmentSpec(frames=12, step=4)
LENGTH = 90
# float32 against float64: 2e-7 measured; the contract of a stream is 1e-5 of cosine distance.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "stream.asd", **STREAMED)


@pytest.fixture(scope="module")
def embedding(bundle: Bundle) -> StreamedEmbedding:
    return tiny_streamed(bundle, SPEC)


def sound(seed: int, length: int = LENGTH) -> Frames:
    random = np.random.default_rng(seed)
    features = random.normal(-40.0, 15.0, (length, 128)).astype(np.float32)
    powers = random.random((2, length)).astype(np.float32)
    return Frames(0, features, powers[0], powers[1])


def part(frames: Frames, start: int, stop: int) -> Frames:
    cut = slice(start, stop)
    return Frames(frames.first + start, frames.features[cut], frames.power[cut], frames.high_power[cut])


def heard(embedding: StreamedEmbedding, frames: Frames, cuts: Sequence[int]) -> EmbeddedSegments:
    state = embedding.initial_state()
    given = [embedding.advance([state], [part(frames, a, b)])[0] for a, b in pairwise([0, *sorted(cuts), LENGTH])]
    return joined(given)


def joined(given: Sequence[EmbeddedSegments]) -> EmbeddedSegments:
    whole = given[0]
    for more in given[1:]:
        whole = whole.joined(more)
    return whole


def check(found: EmbeddedSegments, frames: Frames, first: int = 0) -> None:
    """Hold segments to the whole-signal reference: all of them there, at their places, with their powers."""
    expected = reference(frames.features, SPEC)
    starts = REACH + SPEC.step * np.arange(len(expected))
    np.testing.assert_array_equal(found.first_frame, first + starts)
    distances = 1.0 - np.sum(found.embeddings * expected, axis=1)
    assert distances.max() <= TOLERANCE
    for name in ("power", "high_power"):
        powers = getattr(frames, name)
        means = [powers[start : start + SPEC.frames].mean(dtype=np.float64) for start in starts]
        np.testing.assert_allclose(getattr(found, name), means, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, LENGTH), max_size=14), seed=st.integers(0, 9))
def test_any_partition_equals_the_whole_signal(embedding: StreamedEmbedding, cuts: list[int], seed: int) -> None:
    frames = sound(seed)
    check(heard(embedding, frames, cuts), frames)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_channels_advanced_together_stay_apart(embedding: StreamedEmbedding, data: st.DataObject) -> None:
    channels = [sound(seed) for seed in range(20)]  # more than one run takes
    states = [embedding.initial_state() for _ in channels]
    given: list[list[EmbeddedSegments]] = [[] for _ in channels]
    done = [0] * len(channels)
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    while min(done) < LENGTH:
        counts = [int(min(random.choice([0, 1, 3, 7, 40]), LENGTH - at)) for at in done]
        blocks = [part(c, at, at + n) for c, at, n in zip(channels, done, counts, strict=True)]
        for into, new in zip(given, embedding.advance(states, blocks), strict=True):
            into.append(new)
        done = [at + n for at, n in zip(done, counts, strict=True)]
    for frames, parts in zip(channels, given, strict=True):
        check(joined(parts), frames)


def test_a_segment_comes_with_the_frame_that_completes_its_context(embedding: StreamedEmbedding) -> None:
    frames, state = sound(1), embedding.initial_state()
    arrivals = [at for at in range(LENGTH) if len(embedding.advance([state], [part(frames, at, at + 1)])[0])]
    first = 2 * REACH + SPEC.frames - 1  # warm-up, segment and the context behind it
    assert arrivals == list(range(first, LENGTH, SPEC.step))
    assert embedding.latency == SPEC.frames + REACH
    assert embedding.warm_up == REACH


def test_a_stream_may_begin_at_any_frame(embedding: StreamedEmbedding) -> None:
    frames = sound(2)
    state = embedding.initial_state()
    later = Frames(1000, frames.features, frames.power, frames.high_power)
    check(embedding.advance([state], [later])[0], frames, first=1000)


def test_frames_that_do_not_follow_change_nothing(embedding: StreamedEmbedding) -> None:
    frames, state, other = sound(3), embedding.initial_state(), embedding.initial_state()
    early = embedding.advance([state, other], [part(frames, 0, 40), part(frames, 0, 40)])
    for wrong in (part(frames, 41, 50), Frames(40, frames.features[:5, :64], frames.power[:5], frames.power[:5])):
        with pytest.raises(ValueError, match=r"follow|features"):
            embedding.advance([other, state], [part(frames, 40, 50), wrong])
    late = embedding.advance([state, other], [part(frames, 40, LENGTH)] * 2)
    for a, b in zip(early, late, strict=True):
        check(a.joined(b), frames)


def test_the_network_runs_in_steps_and_holds_no_more_than_one(bundle: Bundle) -> None:
    """Frame by frame the network is not run for each; a large block is not run in one."""
    counts: list[int] = []

    class Counting(OnnxStreamEmbedder):
        def advance(self, features: NDArray[np.float32], pasts: Any) -> Any:
            counts.append(features.shape[1])
            return super().advance(features, pasts)

    embedding = with_engine(bundle, Counting)
    counts.clear()  # of the probe
    frames, state = sound(4), embedding.initial_state()
    for at in range(LENGTH):
        embedding.advance([state], [part(frames, at, at + 1)])
        assert len(state.waiting) < streamed.STEP
    assert sum(counts) + len(state.waiting) == LENGTH
    assert len(counts) < LENGTH / 2
    counts.clear()
    embedding.advance([embedding.initial_state()], [frames])
    assert max(counts) <= 32


def with_engine(bundle: Bundle, engine: type[OnnxStreamEmbedder], reach: int = REACH) -> StreamedEmbedding:
    graph = bundle.manifest.graphs.stream
    assert graph is not None
    members = bundle.graphs["stream.fp32.onnx"], bundle.graphs["head.fp32.onnx"]
    made = engine(*members, tensors=graph.tensors, bands=128, pooled_shape=graph.pooled_shape, reach=reach)
    return StreamedEmbedding(made, SPEC, 128)


def test_a_channel_that_falls_silent_keeps_its_own_memory_and_no_more(embedding: StreamedEmbedding) -> None:
    """Rows of a batch share an array; who does not run with the others any more must not keep all of it alive."""
    states = [embedding.initial_state() for _ in range(16)]
    frames = sound(8)
    embedding.advance(states, [part(frames, 0, 30)] * 16)
    for left in range(15, 0, -1):  # one after the other falls silent
        at = 30 + 3 * (15 - left)
        embedding.advance(states[:left], [part(frames, at, at + 3)] * left)
    alone = sum(past.nbytes for past in embedding.initial_state().network.pasts)
    held = {id(past): past.nbytes for state in states for past in map(owner, state.network.batch.pasts)}
    assert sum(held.values()) <= 16 * alone
    late = embedding.advance([states[15]], [part(frames, 30, LENGTH)])[0]  # and it can go on
    check(heard(embedding, frames, [30]), frames)
    np.testing.assert_allclose(late.embeddings, heard(embedding, frames, [30]).embeddings[-len(late) :], atol=1e-6)


def owner(array: NDArray[Any]) -> NDArray[Any]:
    return array.base if isinstance(array.base, np.ndarray) else array  # onnxruntime owns some of them


def test_memory_does_not_grow_with_the_stream(embedding: StreamedEmbedding) -> None:
    channels, rounds = 16, 8
    states, frames = [embedding.initial_state() for _ in range(channels)], sound(9, 600)

    def run(first: int) -> None:
        block = Frames(first, frames.features, frames.power, frames.high_power)
        embedding.advance(states, [block] * channels)

    run(0)
    run(600)
    tracemalloc.start()
    try:
        run(1200)
        before = tracemalloc.get_traced_memory()[0]
        for i in range(3, 3 + rounds):
            run(600 * i)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 10_000  # 76,800 frames; a frame that stayed would be 512 bytes


class KeepsItsState(SegmentStream):
    """A flush that does not reset."""

    def flush(self) -> EmbeddedSegments:
        return self._streams.advance([self.initial_state()], [np.zeros(0, np.float32)])[0]


class PadsTheEnd(SegmentStream):
    """A flush that pushes silence for the frames that wait for their context."""

    def flush(self) -> EmbeddedSegments:
        rest = self.push(np.zeros(2 * REACH * 512 + 1024, np.float32))
        self.reset()
        return rest


def flushed(bundle: Bundle, stage: type[SegmentStream]) -> None:
    """Hold a stream to the rule of its end: nothing that has not had its context comes out, and it stands as new."""
    pipeline = replace(bundle.pipeline(), segment=SPEC)
    noise = np.random.default_rng(10).normal(0.0, 0.1, 40_000).astype(np.float32)
    stream = stage(pipeline)
    first = stream.push(noise)
    assert len(first) > 5
    assert len(stream.flush()) == 0
    again = stream.push(noise)
    np.testing.assert_array_equal(again.first_frame, first.first_frame)
    np.testing.assert_allclose(again.embeddings, first.embeddings, atol=1e-6)


def test_a_flush_gives_nothing_without_context_and_forgets(bundle: Bundle) -> None:
    flushed(bundle, SegmentStream)


@pytest.mark.parametrize("mutant", [KeepsItsState, PadsTheEnd])
def test_a_wrong_flush_is_caught(bundle: Bundle, mutant: type[SegmentStream]) -> None:
    with pytest.raises(AssertionError):
        flushed(bundle, mutant)


class Forgetful(OnnxStreamEmbedder):
    """Drops what one of the convolutions remembers."""

    def advance(self, features: NDArray[np.float32], pasts: Any) -> Any:
        heard, following = super().advance(features, pasts)
        return heard, [following[0], np.zeros_like(following[1])]


class Swapped(OnnxStreamEmbedder):
    """Gives the channels of a batch each other's memory."""

    def advance(self, features: NDArray[np.float32], pasts: Any) -> Any:
        heard, following = super().advance(features, pasts)
        return heard, [past[::-1].copy() for past in following]


def _delayed_wrongly(by: int) -> Callable[[Bundle], StreamedEmbedding]:
    return lambda bundle: with_engine(bundle, OnnxStreamEmbedder, REACH + by)


class Padding(StreamedEmbedding):
    """Does not wait for the first frames' past."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._reach = 0


MUTANTS: dict[str, Callable[[Bundle], StreamedEmbedding]] = {
    "a cache dropped": lambda bundle: with_engine(bundle, Forgetful),
    "delay one too short": _delayed_wrongly(-1),
    "delay one too long": _delayed_wrongly(1),
    "warm-up not waited for": lambda bundle: Padding(tiny_streamed(bundle, SPEC)._embedder, SPEC, 128),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_the_checker_catches(bundle: Bundle, mutant: Callable[[Bundle], StreamedEmbedding]) -> None:
    frames = sound(5)
    with pytest.raises(AssertionError):
        check(heard(mutant(bundle), frames, [30, 61]), frames)


def test_the_checker_catches_channels_that_are_mixed_up(bundle: Bundle) -> None:
    embedding = with_engine(bundle, Swapped)
    channels = [sound(6), sound(7)]
    states = [embedding.initial_state() for _ in channels]
    given = [embedding.advance(states, [part(c, a, b) for c in channels]) for a, b in pairwise([0, 30, LENGTH])]
    with pytest.raises(AssertionError):
        check(joined([parts[0] for parts in given]), channels[0])
