"""Segments: the stretches of frames that one embedding covers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import Frames
from asd_edge.dsp.level import Level
from asd_edge.dsp.stage import Stage


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """What one embedding covers.

    Attributes:
        frames: frames of a segment.
        step: frames between the starts of segments.
        level: "as_is", or "standardised": of the sound divided by its standard deviation (dsp/level.py).
        spectrum: whether the magnitude spectrum of the segment's samples comes with it (dsp/clip_spectrum.py).

    Raises:
        ValueError: a step above the segment, which would leave frames unheard.
    """

    frames: int = 64
    step: int = 32
    level: Level = "as_is"
    spectrum: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.step <= self.frames:
            raise ValueError(f"segments of {self.frames} frames cannot start every {self.step}")

    @property
    def streamable(self) -> bool:
        """Whether a network can run with the sound: nothing it hears waits for a whole segment."""
        return self.level == "as_is" and not self.spectrum


@dataclass(frozen=True, slots=True)
class Segments:
    """Consecutive segments.

    `first_frame`: absolute index of each segment's first frame, int64 [segments].
    `features`: float32 [segments, frames, bands].
    `power`, `high_power`: means over each segment's frames, float32 [segments].
    """

    first_frame: NDArray[np.int64]
    features: NDArray[np.float32]
    power: NDArray[np.float32]
    high_power: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first_frame)


@dataclass(slots=True)
class SegmenterState:
    """The frames of the next segment that have come already: fewer than a segment.

    `first`: absolute index of row 0; None until the stream begins, at whichever frame comes first.
    """

    features: NDArray[np.float32]  # [frames, bands]
    powers: NDArray[np.float32]  # [2, frames]
    first: int | None = None


class Segmenter(Stage[Frames, Segments, SegmenterState]):
    """Frames of `bands` features in, overlapping segments out."""

    def __init__(self, spec: SegmentSpec, bands: int) -> None:
        self.spec = spec
        self.bands = bands
        super().__init__()

    @property
    def hop(self) -> int:
        """Frames between the starts of segments."""
        return self.spec.step

    @property
    def latency(self) -> int:
        """Frames of a segment: it is complete with its last one."""
        return self.spec.frames

    def initial_state(self) -> SegmenterState:
        """Return the memory of a stream that has not begun."""
        return SegmenterState(np.zeros((0, self.bands), np.float32), np.zeros((2, 0), np.float32))

    def push(self, taken: Frames) -> Segments:
        """Take the next frames, any number of them; return the segments they complete.

        Raises:
            ValueError: frames of another width, or frames that do not follow those before.
        """
        return self.advance(self._state, taken)

    def advance(self, state: SegmenterState, taken: Frames) -> Segments:
        """Do what `push` does on the memory of one of many channels."""
        self.check(state, taken)
        frames, step = self.spec.frames, self.spec.step
        first = taken.first if state.first is None else state.first
        features = np.concatenate((state.features, taken.features))  # [T, bands]
        powers = np.concatenate((state.powers, (taken.power, taken.high_power)), axis=1)  # [2, T]
        count = max(0, (len(features) - frames) // step + 1)
        segments = self._cut(first, features, powers, count)
        state.first = first + count * step
        state.features = features[count * step :].copy()
        state.powers = powers[:, count * step :].copy()
        return segments

    def check(self, state: SegmenterState, taken: Frames) -> None:
        """Raise what `advance` would raise for these frames."""
        if taken.features.shape != (len(taken), self.bands):
            raise ValueError(f"frames of {taken.features.shape} do not have {self.bands} features")
        if state.first is not None and taken.first != state.first + len(state.features):
            raise ValueError(f"frame {taken.first} does not follow frame {state.first + len(state.features) - 1}")

    def flush(self) -> Segments:
        """Drop the last, incomplete segment."""
        state = self.initial_state()
        self.reset()
        return self._cut(0, state.features, state.powers, 0)

    def _cut(self, first: int, features: NDArray[np.float32], powers: NDArray[np.float32], count: int) -> Segments:
        starts = np.arange(count) * self.spec.step
        rows = starts[:, None] + np.arange(self.spec.frames)  # [segments, frames]
        means = powers[:, rows].mean(axis=2)  # [2, segments]
        return Segments(first + starts, features[rows], means[0], means[1])
