"""From samples to embedded segments: the part that training, factory and device share."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.dsp.segments import Segmenter, SegmentSpec
from asd_edge.engines.embedder import Embedder
from asd_edge.scoring.aggregation import Aggregation, EmbeddedSegments, WindowSpec


@dataclass(frozen=True)
class Pipeline:
    """What a bundle computes.

    `mel`: float32 [bins, mels], or None to make it from `front_end`.
    """

    front_end: FrontEndSpec
    segment: SegmentSpec
    window: WindowSpec
    aggregation: Aggregation
    embedder: Embedder
    mel: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def segment_samples(self) -> int:
        """Samples that one segment covers: the shortest sound that can be embedded."""
        return (self.segment.frames - 1) * self.front_end.hop + self.front_end.window

    def samples_of(self, segments: EmbeddedSegments) -> tuple[int, int]:
        """Return the half-open sample interval [start, stop) that consecutive segments cover."""
        start = int(segments.first_frame[0]) * self.front_end.hop
        return start, int(segments.first_frame[-1]) * self.front_end.hop + self.segment_samples


class SegmentStream:
    """Streaming stage: samples in, embedded segments out; each segment is embedded once."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._front_end = FrontEnd(pipeline.front_end, pipeline.mel)
        self._segmenter = Segmenter(pipeline.segment, self._front_end.bands)
        self._embedder = pipeline.embedder

    def push(self, samples: NDArray[np.float32]) -> EmbeddedSegments:
        """Take the next samples, float32 [n], any n; return the segments they complete."""
        segments = self._segmenter.push(self._front_end.push(samples))
        embeddings = self._embedder.embed(segments.features)
        return EmbeddedSegments(segments.first_frame, embeddings, segments.power, segments.high_power)

    def reset(self) -> None:
        """Start a new stream at frame 0."""
        self._front_end.reset()
        self._segmenter.reset()
