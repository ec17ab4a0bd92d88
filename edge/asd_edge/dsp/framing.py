"""Overlapping frames of a stream, without padding: frame t covers the samples [t·hop, t·hop + window)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.stage import Stage


@dataclass(frozen=True, slots=True)
class FramedSamples:
    """Consecutive frames.

    `first`: absolute index of row 0. `samples`: float32 [frames, window], read-only.
    """

    first: int
    samples: NDArray[np.float32]


@dataclass(slots=True)
class FramingState:
    """The samples from frame `next` on that have come already: fewer than a window."""

    tail: NDArray[np.float32]
    next: int = 0


class Framing(Stage[NDArray[np.float32], FramedSamples, FramingState]):
    """Cuts float32 samples [n] into frames of `window` samples, one every `hop`.

    `lead` zeros stand before the first sample, for a filter that reaches back before the stream.

    Raises:
        ValueError: a hop above the window, which would leave samples unheard.
    """

    def __init__(self, window: int, hop: int, *, lead: int = 0) -> None:
        if not 1 <= hop <= window or not 0 <= lead < window:
            raise ValueError(f"frames of {window} samples cannot start every {hop} after {lead} zeros")
        self.window = window
        self.hop = hop
        self._lead = lead
        super().__init__()

    @property
    def latency(self) -> int:
        """Samples of a frame."""
        return self.window

    def initial_state(self) -> FramingState:
        """Return the memory of a stream that has not begun."""
        return FramingState(np.zeros(self._lead, np.float32))

    def push(self, taken: NDArray[np.float32]) -> FramedSamples:
        """Take float32 samples [n], any n; return the frames they complete.

        Raises:
            ValueError: more than one dimension.
        """
        return self.advance(self._state, taken)

    def flush(self) -> FramedSamples:
        """Drop the last, incomplete frame."""
        ended = FramedSamples(self._state.next, np.zeros((0, self.window), np.float32))
        self.reset()
        return ended

    def advance(self, state: FramingState, samples: NDArray[np.float32]) -> FramedSamples:
        """Do what `push` does on the memory of another stage that frames samples."""
        first = state.next
        (frames,) = self.cut([state], [one_channel(samples)])
        frames.flags.writeable = False
        return FramedSamples(first, frames)

    def cut(self, states: Sequence[FramingState], blocks: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return the frames [frames, window] that each channel's next block completes; they overlap in memory.

        The blocks are such as `one_channel` returns, one for each state.
        """
        if not states:
            return []
        heard = np.concatenate(
            [part for state, block in zip(states, blocks, strict=True) for part in (state.tail, block)]
        )
        cut, start = [], 0
        for state, block in zip(states, blocks, strict=True):
            size = len(state.tail) + len(block)
            count = max(0, (size - self.window) // self.hop + 1)
            # What sliding_window_view returns, without the 20 µs that it takes.
            cut.append(np.ndarray((count, self.window), np.float32, heard, 4 * start, (4 * self.hop, 4)))
            state.next += count
            state.tail = heard[start + count * self.hop : start + size].copy()  # a view would keep all blocks alive
            start += size
        return cut


def one_channel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the samples as contiguous float32 [n].

    Raises:
        ValueError: more than one dimension, or none.
    """
    samples = np.asarray(samples, np.float32, order="C")
    if samples.ndim != 1:
        raise ValueError(f"samples of one channel have one dimension, not {samples.ndim}")
    return samples
