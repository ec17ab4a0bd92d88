"""Whole segments through a network: for networks that stride in time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from asd_edge.dsp.front_end import Frames, FrontEndSpec
from asd_edge.dsp.level import standardised
from asd_edge.dsp.segments import Segmenter, SegmenterState, SegmentSpec
from asd_edge.embedding.embedding import Embedding, Spectra
from asd_edge.engines.embedder import Embedder
from asd_edge.scoring.aggregation import EmbeddedSegments


class SegmentedEmbedding(Embedding[SegmenterState]):
    """Cuts overlapping segments, which share their frames, and embeds those of all channels in one batch."""

    def __init__(self, embedder: Embedder, spec: SegmentSpec, front_end: FrontEndSpec) -> None:
        self.spec = spec
        self._embedder = embedder
        self._feature = front_end.feature
        self._segmenter = Segmenter(spec, front_end.bands)

    @property
    def dims(self) -> int:
        """Length of an embedding."""
        return self._embedder.dims

    @property
    def latency(self) -> int:
        """Frames of a segment."""
        return self._segmenter.latency

    @property
    def warm_up(self) -> int:
        """None: a segment graph pads the ends of every segment alike."""
        return 0

    def initial_state(self) -> SegmenterState:
        """Return the memory of a channel that has heard nothing."""
        return self._segmenter.initial_state()

    def advance(
        self, states: Sequence[SegmenterState], frames: Sequence[Frames], spectra: Sequence[Spectra] | None = None
    ) -> list[EmbeddedSegments]:
        """Take the next frames of some channels; return the segments that they complete.

        Raises:
            ValueError: frames of another width, or frames that do not follow those before; nothing has changed then.
        """
        for state, new in zip(states, frames, strict=True):
            self._segmenter.check(state, new)
        cut = [self._segmenter.advance(state, new) for state, new in zip(states, frames, strict=True)]
        features = np.concatenate([segments.features for segments in cut])
        joined = None if spectra is None else np.concatenate(spectra)
        if self.spec.level == "standardised":
            power = np.concatenate([segments.power for segments in cut])
            features = standardised(features, power, self._feature)
            joined = None if joined is None else standardised(joined, power, "magnitude")
        embeddings = self._embedder.embed(features, joined)
        ends = accumulate((len(segments) for segments in cut), initial=0)
        return [
            EmbeddedSegments(s.first_frame, embeddings[end : end + len(s)], s.power, s.high_power)
            for s, end in zip(cut, ends)  # noqa: B905 — `ends` has one more, the total
        ]
