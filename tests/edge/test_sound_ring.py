"""The last seconds of sound: what was pushed comes back, and never anything across a gap."""

from __future__ import annotations

import threading
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asd_edge.daemon.ring import SoundRing
from asd_edge.errors import SourceError
from asd_edge.sources.block import Block

RATE = 1_000
SECONDS = 10.0
KEPT = 10_000


def sound(size: int) -> NDArray[np.float32]:
    """Sixteen-bit samples, no two neighbours alike."""
    return (np.random.default_rng(1).integers(-32_768, 32_768, size) / 32_768.0).astype(np.float32)


def push(ring: SoundRing, samples: NDArray[np.float32], *, at: int = 0) -> None:
    ring.push(Block(samples, at, 0.0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 35_000), max_size=8), st.integers(1, KEPT))
def test_the_newest_samples_come_back_as_they_were_whatever_the_blocks(cuts: list[int], wanted: int) -> None:
    ring, samples = SoundRing(RATE, SECONDS), sound(35_000)
    for start, stop in pairwise([0, *sorted(cuts), len(samples)]):
        push(ring, samples[start:stop], at=start)
    last = ring.last(wanted / RATE)
    assert last.dtype == np.float32
    np.testing.assert_array_equal(last, samples[-wanted:])  # a microphone's 16 bits lose nothing


def test_samples_between_the_steps_of_16_bits_are_rounded_and_loud_ones_clipped() -> None:
    ring = SoundRing(RATE, SECONDS)
    with np.errstate(all="raise"):  # what NaN is as a whole number depends on the processor
        push(ring, np.array([0.1, -0.1, 1.0, -1.0, 7.0, -7.0, np.nan, np.inf], np.float32))
    step, top = 1.0 / 32_768, 1.0 - 1.0 / 32_768
    last = ring.last(0.008)
    np.testing.assert_allclose(last[:2], [0.1, -0.1], atol=step / 2)
    np.testing.assert_array_equal(last[2:], np.array([top, -1.0, top, -1.0, 0.0, top], np.float32))


def test_nothing_is_given_across_a_gap() -> None:
    ring, samples = SoundRing(RATE, SECONDS), sound(9_000)
    push(ring, samples[:6_000])
    push(ring, samples[6_000:], at=6_500)
    np.testing.assert_array_equal(ring.last(3.0), samples[6_000:])
    with pytest.raises(SourceError, match=r"found: +3\.0 s\n +expected: 4\.0 s"):
        ring.last(4.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 25_000), st.integers(0, 25_000), st.integers(1, 20_000))
def test_sound_between_two_samples_is_what_is_held_of_it(start: int, length: int, lost: int) -> None:
    ring, samples = SoundRing(RATE, SECONDS), sound(40_000)
    gap = 4_000 + lost  # sample at which sound is heard again
    push(ring, samples[:4_000])
    push(ring, samples[gap : gap + 12_000], at=gap)
    first, held = ring.between(start, start + length)
    wanted = np.arange(40_000)[max(start, gap + 2_000, gap) : min(start + length, gap + 12_000)]
    assert held.dtype == np.int16
    assert first == max(start, gap + 2_000) or len(held) == 0
    np.testing.assert_array_equal(held, np.rint(samples[wanted] * 32_768).astype(np.int16))


def test_nothing_lies_between_two_samples_of_a_ring_that_hears_nothing() -> None:
    ring = SoundRing(RATE, SECONDS)
    assert len(ring.between(0, 1_000)[1]) == 0
    push(ring, sound(5_000))
    assert len(ring.between(0, 1_000)[1]) == 1_000
    ring.clear()
    assert len(ring.between(0, 1_000)[1]) == 0


def test_more_than_is_kept_cannot_be_had() -> None:
    ring = SoundRing(RATE, SECONDS)
    push(ring, sound(30_000))
    assert len(ring.last(10.0)) == KEPT
    with pytest.raises(SourceError, match="keeps 10 s"):
        ring.last(10.1)


def test_what_is_not_heard_any_more_is_not_the_last_seconds() -> None:
    ring = SoundRing(RATE, SECONDS)
    with pytest.raises(SourceError, match=r"found: +0\.0 s"):
        ring.last(1.0)
    push(ring, sound(5_000))
    ring.clear()
    with pytest.raises(SourceError, match=r"found: +0\.0 s"):
        ring.last(1.0)
    push(ring, sound(2_000), at=5_000)
    assert len(ring.last(2.0)) == 2_000
    with pytest.raises(SourceError):
        ring.last(2.1)


def test_what_a_faulty_microphone_heard_is_given_to_nobody() -> None:
    ring = SoundRing(RATE, SECONDS)
    push(ring, sound(2_000))
    ring.push(Block(sound(500), 2_000, 0.0, faults=("clipping",)))
    push(ring, sound(1_500), at=2_500)
    np.testing.assert_array_equal(ring.last(1.5), sound(1_500))
    with pytest.raises(SourceError, match=r"found: +1\.5 s"):
        ring.last(1.6)


def test_one_may_ask_while_another_pushes() -> None:
    ring, stopping = SoundRing(RATE, SECONDS), threading.Event()

    def keep_pushing() -> None:
        start = 0
        while not stopping.is_set():
            push(ring, ((start + np.arange(700)) % 60_000 / 32_768.0 - 0.9).astype(np.float32), at=start)
            start += 700

    thread = threading.Thread(target=keep_pushing)
    push(ring, np.zeros(0, np.float32))
    thread.start()
    asked = 0
    try:
        while asked < 300:
            try:
                last = ring.last(5.0)
            except SourceError:  # not yet
                continue
            steps = np.round(np.diff(last) * 32_768).astype(int)
            assert set(steps) <= {1, -59_999}  # consecutive numbers: nothing torn, nothing twice
            asked += 1
    finally:
        stopping.set()
        thread.join()


def test_memory_does_not_grow() -> None:
    ring, block = SoundRing(RATE, SECONDS), sound(20_000)
    push(ring, block)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(1, 200):
            push(ring, block, at=n * len(block))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000  # of four million samples; what else runs in this process is counted too


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 25_000), st.integers(1, 20_000))
def test_another_length_keeps_the_newest_and_goes_on(heard: int, length: int) -> None:
    ring, samples = SoundRing(RATE, SECONDS), sound(heard + 5_000)
    push(ring, samples[:heard])
    ring.keep(length / RATE)
    kept = min(heard, KEPT, length)
    if kept:
        np.testing.assert_array_equal(ring.last(kept / RATE), samples[heard - kept : heard])
    push(ring, samples[heard:], at=heard)
    kept = min(kept + 5_000, length)
    np.testing.assert_array_equal(ring.last(kept / RATE), samples[len(samples) - kept :])
    with pytest.raises(SourceError):
        ring.last((kept + 1) / RATE)
