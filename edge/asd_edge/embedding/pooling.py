"""Attention pooling over segments of a stream, from sums that are only ever added.

With frame features z_t [bands, depth], attention logits a_t [bands, heads] and W = Σ_t e^{a_t} over a segment's frames,

    m = Σ_t e^{a_t} z_t / W,    v = Σ_t e^{a_t} (z_t − m)² / W

(Chen et al., ICASSP 2022, equation 2). Weight W, mean m and M = W·v of two stretches of sound give those of both,

    W = W₁ + W₂,    m = m₁ + δ·W₂/W,    M = M₁ + M₂ + δ²·W₁W₂/W,    δ = m₂ − m₁

(Chan, Golub, LeVeque 1979, equation 2.1), so what is summed over a *stride* (the frames from one segment's start to
the next one's) is computed once and serves every segment that covers it. e^{a_t − peak} stands for e^{a_t}, with the
largest logit beside it: no logit is too large or too small, and M is never the difference of two large numbers.

The window of strides slides by the two-stack rule: sums of the older strides are kept as suffixes, those of the newer
ones as one running sum, and when the suffixes are used up they are made anew from the strides themselves. Nothing is
subtracted, so nothing drifts, however long the stream runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.segments import SegmentSpec
from asd_edge.dsp.stage import Stage


@dataclass(frozen=True, slots=True)
class HeardFrames:
    """Consecutive frames as a network heard them.

    `first`: absolute index of row 0. `features`: float32 [frames, bands, depth]. `logits`: float32 [frames, bands,
    heads]. `power`, `high_power`: mean squares, float32 [frames].
    """

    first: int
    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    power: NDArray[np.float32]
    high_power: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True)
class PooledSegments:
    """Consecutive segments.

    `first_frame`: int64 [segments]. `mean`, `variance`: float32 [segments, bands, heads, depth].
    `power`, `high_power`: means over each segment's frames, float32 [segments].
    """

    first_frame: NDArray[np.int64]
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    power: NDArray[np.float32]
    high_power: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first_frame)


@dataclass(frozen=True, slots=True)
class Sums:
    """Some frames: `peak` of the logits and `weight` Σ e^{a − peak}, [bands, heads]; weighted `mean` and `spread`
    Σ e^{a − peak} (z − mean)², [bands, heads, depth]; sums of both powers, [2].
    """

    peak: NDArray[np.float32]
    weight: NDArray[np.float32]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    powers: NDArray[np.float64]

    @staticmethod
    def over(features: NDArray[np.float32], logits: NDArray[np.float32], powers: NDArray[np.float32]) -> Sums:
        """Sum over frames: features [frames, bands, depth], logits [frames, bands, heads], powers [2, frames]."""
        peak = logits.max(axis=0)
        weights = np.exp(logits - peak)  # [frames, bands, heads]
        weight = weights.sum(axis=0)
        share = (weights / weight).transpose(1, 2, 0)  # [bands, heads, frames]
        middle = features.mean(axis=0)  # the spread is taken about it, then moved to the weighted mean
        about = (features - middle).transpose(1, 0, 2)  # [bands, frames, depth]
        shift = share @ about  # [bands, heads, depth]
        spread = (share @ (about * about) - shift * shift) * weight[..., None]
        return Sums(peak, weight, middle[:, None] + shift, spread, powers.sum(axis=1, dtype=np.float64))

    def plus(self, other: Sums) -> Sums:
        """Return the sums over the frames of both."""
        peak = np.maximum(self.peak, other.peak)
        scale, others = np.exp(self.peak - peak), np.exp(other.peak - peak)
        weight, added = self.weight * scale, other.weight * others
        total = weight + added
        part = added / total
        apart = other.mean - self.mean
        step = apart * part[..., None]
        spread = self.spread * scale[..., None]
        spread += other.spread * others[..., None]
        apart *= step
        apart *= weight[..., None]
        spread += apart
        step += self.mean
        return Sums(peak, total, step, spread, self.powers + other.powers)

    @property
    def variance(self) -> NDArray[np.float32]:
        """Weighted variance, [bands, heads, depth]."""
        return self.spread / self.weight[..., None]


@dataclass(slots=True)
class PoolState:
    """The frames of the stride that is not complete, and the sums over the strides of the next segment.

    `first`: absolute index of the stream's first frame; None until it begins. `strides`: complete ones so far.
    `older[i]`: sums over the i-th of the older strides to the youngest of them, which comes first. `newer`: the
    strides after them, one by one, and `newest` the sums over all of these.
    """

    features: NDArray[np.float32]  # [step, bands, depth]
    logits: NDArray[np.float32]  # [step, bands, heads]
    powers: NDArray[np.float32]  # [2, step]
    first: int | None = None
    held: int = 0
    strides: int = 0
    older: list[Sums] = field(default_factory=list)
    newer: list[Sums] = field(default_factory=list)
    newest: Sums | None = None


class SegmentPooling(Stage[HeardFrames, PooledSegments, PoolState]):
    """Frames of a network in, moments of overlapping segments out.

    Args:
        spec: of the segments; their frames a multiple of their step.
        shape: (bands, heads, depth) of what the network gives for a frame.

    Raises:
        ValueError: segments that are not a whole number of steps long.
    """

    def __init__(self, spec: SegmentSpec, shape: tuple[int, int, int]) -> None:
        if spec.frames % spec.step:
            raise ValueError(f"segments of {spec.frames} frames are not a whole number of steps of {spec.step}")
        self.spec = spec
        self._shape = shape
        super().__init__()

    @property
    def latency(self) -> int:
        """Frames of a segment: it is complete with its last one."""
        return self.spec.frames

    def initial_state(self) -> PoolState:
        """Return the memory of a stream that has not begun."""
        bands, heads, depth = self._shape
        step = self.spec.step
        return PoolState(
            np.empty((step, bands, depth), np.float32),
            np.empty((step, bands, heads), np.float32),
            np.empty((2, step), np.float32),
        )

    def push(self, taken: HeardFrames) -> PooledSegments:
        """Take the next frames, any number of them; return the segments they complete.

        Raises:
            ValueError: frames that do not follow those before.
        """
        return self.advance(self._state, taken)

    def flush(self) -> PooledSegments:
        """Drop the last, incomplete segment."""
        self.reset()
        return self._pooled([], [])

    def advance(self, state: PoolState, taken: HeardFrames) -> PooledSegments:
        """Do what `push` does on the memory of one of many channels."""
        step = self.spec.step
        first = taken.first if state.first is None else state.first
        following = first + state.strides * step + state.held
        if taken.first != following:
            raise ValueError(f"frame {taken.first} does not follow frame {following - 1}")
        state.first = first
        starts: list[int] = []
        complete: list[Sums] = []
        done = 0
        while done < len(taken):
            count = min(step - state.held, len(taken) - done)
            into, part = slice(state.held, state.held + count), slice(done, done + count)
            state.features[into] = taken.features[part]
            state.logits[into] = taken.logits[part]
            state.powers[0, into] = taken.power[part]
            state.powers[1, into] = taken.high_power[part]
            state.held += count
            done += count
            if state.held == step:
                state.held = 0
                state.strides += 1
                segment = self._slide(state, Sums.over(state.features, state.logits, state.powers))
                if segment is not None:
                    starts.append(first + state.strides * step - self.spec.frames)
                    complete.append(segment)
        return self._pooled(starts, complete)

    def _slide(self, state: PoolState, stride: Sums) -> Sums | None:
        """Add a stride; return the sums over the segment that it completes, if any, and drop its oldest stride."""
        state.newer.append(stride)
        state.newest = stride if state.newest is None else state.newest.plus(stride)
        if state.strides * self.spec.step < self.spec.frames:
            return None
        segment = state.newest if not state.older else state.older[-1].plus(state.newest)
        if not state.older:
            for newer in reversed(state.newer):
                state.older.append(newer if not state.older else newer.plus(state.older[-1]))
            state.newer, state.newest = [], None
        state.older.pop()
        return segment

    def _pooled(self, starts: list[int], sums: list[Sums]) -> PooledSegments:
        shape = (len(sums), *self._shape)
        mean, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
        powers = np.empty((2, len(sums)), np.float32)
        for i, segment in enumerate(sums):
            mean[i], variance[i] = segment.mean, segment.variance
            powers[:, i] = segment.powers / self.spec.frames
        return PooledSegments(np.array(starts, np.int64), mean, variance, powers[0], powers[1])
