"""The network with the sound: each frame of each channel goes through it once, in steps of a few frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import Frames
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.embedding.embedding import Embedding, Spectra
from asd_edge.embedding.pooling import HeardFrames, PooledSegments, PoolState, SegmentPooling
from asd_edge.engines.embedder import LARGEST_BATCH, LARGEST_STEP, FrameFeatures, Pasts, StreamEmbedder
from asd_edge.scoring.aggregation import EmbeddedSegments

STEP = 6
"""Frames that are waited for before the network runs, unless a segment is complete with fewer: short enough that
many channels do not keep each other waiting, long enough that a run's fixed cost does not show."""


@dataclass(eq=False, slots=True)
class Batch:
    """What a run returned for several channels: they stay together as long as they run together."""

    pasts: Pasts
    members: Sequence[StreamState] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A channel's place in a batch."""

    batch: Batch
    index: int

    @property
    def pasts(self) -> list[NDArray[np.float32]]:
        """The channel's own pasts, without the channels' dimension."""
        return [past[self.index] for past in self.batch.pasts]


@dataclass(slots=True)
class StreamState:
    """What is remembered of a channel.

    `network`: the network's pasts. `waiting`: frames that have not gone in, float32 [frames, bands]. `powers`: both
    powers of the frames from `powers_first` on, which have not come out, float32 [2, frames]. `first`: the stream's
    first frame, None until it begins; `next`: the next to go in. `pool`: the segments in the making.
    """

    network: Row
    waiting: NDArray[np.float32]
    powers: NDArray[np.float32]
    pool: PoolState
    first: int | None = None
    next: int = 0
    powers_first: int = 0


class StreamedEmbedding(Embedding[StreamState]):
    """Runs a stream network on the frames of many channels, pools segments and embeds them.

    A frame that comes out has seen `reach` frames before and after it, so the first `reach` of a stream never come
    out (they have no past), and each other one comes `reach` frames later. That is the boundary rule: no segment of a
    stream has seen padding, while a segment graph pads each segment's ends with zeros. Centres and thresholds belong
    to one of the two.

    Raises:
        ValueError: segments with a spectrum or at a level of their own, which are known only when they are complete.
    """

    def __init__(self, embedder: StreamEmbedder, spec: SegmentSpec, bands: int) -> None:
        if not spec.streamable:
            raise ValueError("a network that runs with the sound hears no whole segment's level or spectrum")
        self.spec = spec
        self._embedder = embedder
        self._reach = embedder.reach
        self._pasts = embedder.initial_pasts()
        self._bands = bands
        self._pooling = SegmentPooling(spec, embedder.pooled_shape)

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self._embedder.dims

    @property
    def latency(self) -> int:
        """Frames of a segment and of the context behind it."""
        return self.spec.frames + self._reach

    @property
    def warm_up(self) -> int:
        """Frames of context that the first segment needs before it."""
        return self._reach

    def initial_state(self) -> StreamState:
        """Return the memory of a channel that has heard nothing."""
        return StreamState(
            Row(Batch([past[None] for past in self._pasts]), 0),
            np.zeros((0, self._bands), np.float32),
            np.zeros((2, 0), np.float32),
            self._pooling.initial_state(),
        )

    def advance(
        self, states: Sequence[StreamState], frames: Sequence[Frames], spectra: Sequence[Spectra] | None = None
    ) -> list[EmbeddedSegments]:
        """Take the next frames of some channels; return the segments that they complete.

        Raises:
            ValueError: frames of another width, or frames that do not follow those before; nothing has changed then.
        """
        for state, new in zip(states, frames, strict=True):
            self._check(state, new)
        for state, new in zip(states, frames, strict=True):
            self._take(state, new)
        pooled: list[list[PooledSegments]] = [[] for _ in states]
        while ready := [i for i, state in enumerate(states) if len(state.waiting) >= min(STEP, self._due(state))]:
            count = min(LARGEST_STEP, *(len(states[i].waiting) for i in ready))
            for start in range(0, len(ready), LARGEST_BATCH):
                batch = ready[start : start + LARGEST_BATCH]
                for i, segments in zip(batch, self._run([states[i] for i in batch], count), strict=True):
                    if segments is not None:
                        pooled[i].append(segments)
        return self._embedded(pooled)

    def _check(self, state: StreamState, new: Frames) -> None:
        if new.features.shape != (len(new), self._bands):
            raise ValueError(f"frames of {new.features.shape} do not have {self._bands} features")
        following = state.next + len(state.waiting)
        if state.first is not None and new.first != following:
            raise ValueError(f"frame {new.first} does not follow frame {following - 1}")

    def _take(self, state: StreamState, new: Frames) -> None:
        if state.first is None:
            state.first = state.next = state.powers_first = new.first
        state.waiting = np.concatenate((state.waiting, new.features))
        state.powers = np.concatenate((state.powers, (new.power, new.high_power)), axis=1)

    def _due(self, state: StreamState) -> int:
        """Return how many frames must still go in until the next segment is complete."""
        if state.first is None:
            return self.latency + self.warm_up
        strides = max(state.pool.strides + 1, self.spec.frames // self.spec.step)
        return state.first + 2 * self._reach + strides * self.spec.step - state.next

    def _run(self, states: Sequence[StreamState], count: int) -> list[PooledSegments | None]:
        """Feed the next `count` frames of each of these channels; return the segments that come out."""
        features = np.stack([state.waiting[:count] for state in states])  # [channels, frames, bands]
        heard, pasts = self._embedder.advance(features, _gathered(states))
        batch = Batch(pasts, states)
        return [self._pool(state, Row(batch, i), count, heard) for i, state in enumerate(states)]

    def _pool(self, state: StreamState, row: Row, count: int, heard: FrameFeatures) -> PooledSegments | None:
        assert state.first is not None
        state.network = row
        state.waiting = state.waiting[count:].copy()
        out = state.next - self._reach  # the frame that row 0 of what comes out belongs to
        state.next += count
        start = max(0, state.first + self._reach - out)  # the rows before have seen the emptiness
        if start >= count:
            return None
        known = out + start - state.powers_first
        powers = state.powers[:, known : known + count - start]
        state.powers = state.powers[:, known + count - start :].copy()
        state.powers_first = out + count
        return self._pooling.advance(
            state.pool,
            HeardFrames(
                out + start,
                heard.features[row.index, start:],
                heard.logits[row.index, start:],
                powers[0],
                powers[1],
            ),
        )

    def _embedded(self, pooled: Sequence[Sequence[PooledSegments]]) -> list[EmbeddedSegments]:
        """Embed the segments of all channels in one batch."""
        parts = [segments for channel in pooled for segments in channel]
        if not parts:
            nothing = np.zeros(0, np.float32)
            empty = EmbeddedSegments(np.zeros(0, np.int64), np.zeros((0, self.dims), np.float32), nothing, nothing)
            return [empty for _ in pooled]
        embeddings = self._embedder.embed(
            np.concatenate([part.mean for part in parts]), np.concatenate([part.variance for part in parts])
        )
        first_frame, power, high_power = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("first_frame", "power", "high_power")
        )
        every = EmbeddedSegments(first_frame, embeddings, power, high_power)
        counts = [sum(len(segments) for segments in channel) for channel in pooled]
        ends = list(accumulate(counts))
        return [every[end - count : end] for end, count in zip(ends, counts, strict=True)]


def _gathered(states: Sequence[StreamState]) -> Pasts:
    """Return the pasts of some channels as one batch; without a copy where the last run had the same channels."""
    batch = states[0].network.batch
    same = len(batch.pasts[0]) == len(states)
    if same and all(state.network.batch is batch and state.network.index == i for i, state in enumerate(states)):
        return batch.pasts
    gathered = [np.stack(pasts) for pasts in zip(*(state.network.pasts for state in states), strict=True)]
    for left in {id(state.network.batch): state.network.batch for state in states}.values():
        _leave_behind(left, states)
    return gathered


def _leave_behind(batch: Batch, leaving: Sequence[StreamState]) -> None:
    """Give the members of a batch that do not run now memory of their own: one would keep all of it alive."""
    for state in batch.members:
        if state.network.batch is batch and not any(state is other for other in leaving):
            state.network = Row(Batch([past[None].copy() for past in state.network.pasts]), 0)
