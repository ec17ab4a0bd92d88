"""From samples to embedded segments: the part that training, factory and device share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.clip_spectrum import ClipSpectrum, ClipSpectrumSpec, ClipSpectrumState
from asd_edge.dsp.framing import FramingState
from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.dsp.stage import Stage
from asd_edge.embedding.embedding import AnyEmbedding
from asd_edge.embedding.segmented import SegmentedEmbedding
from asd_edge.embedding.streamed import StreamedEmbedding
from asd_edge.engines.embedder import Embedder, StreamEmbedder
from asd_edge.scoring.aggregation import Aggregation, EmbeddedSegments, WindowSpec

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Pipeline:
    """What a bundle computes.

    `embedder`: an engine for whole segments, or one that runs with the sound.
    `mel`: float32 [bins, mels], or None to make it from `front_end`.
    """

    front_end: FrontEndSpec
    segment: SegmentSpec
    window: WindowSpec
    aggregation: Aggregation
    embedder: Embedder | StreamEmbedder
    mel: NDArray[np.float32] | None = field(default=None, repr=False)

    def embedding(self) -> AnyEmbedding:
        """Return what turns frames into embedded segments; it serves one thread."""
        if isinstance(self.embedder, StreamEmbedder):
            return StreamedEmbedding(self.embedder, self.segment, self.front_end.bands)
        return SegmentedEmbedding(self.embedder, self.segment, self.front_end)

    @property
    def context(self) -> int:
        """Frames that a segment needs on either side of it: a stream network's reach, else 0."""
        return self.embedder.reach if isinstance(self.embedder, StreamEmbedder) else 0

    @property
    def shortest_samples(self) -> int:
        """Samples of the shortest sound that can be embedded: one segment and its context."""
        return self.front_end.samples(self.segment.frames + 2 * self.context)

    @property
    def first_score_samples(self) -> int:
        """Samples from the start of a stream until its first score: a window and its context."""
        more = (self.window.segments - 1) * self.segment.step * self.front_end.hop
        return self.shortest_samples + more

    @property
    def score_every_s(self) -> float:
        """Seconds of sound from one score to the next."""
        return self.window.every * self.segment.step * self.front_end.hop / self.front_end.sample_rate

    @property
    def segment_samples(self) -> int:
        """Samples that one segment covers."""
        return self.front_end.samples(self.segment.frames)

    def samples_of(self, segments: EmbeddedSegments) -> tuple[int, int]:
        """Return the half-open sample interval [start, stop) that consecutive segments cover."""
        hop = self.front_end.hop
        start, last = int(segments.first_frame[0]) * hop, int(segments.first_frame[-1]) * hop
        return start, last + self.segment_samples


@dataclass(slots=True)
class ChannelState:
    """What is remembered of one channel between two blocks of its sound."""

    front_end: FramingState
    spectrum: ClipSpectrumState | None  # where segments come with theirs
    embedding: object  # of the pipeline's embedding, which alone looks into it


class SegmentStreams:
    """The sound of any number of channels in, their embedded segments out, computed together.

    It serves one thread. The channels share its matrices and its network; what each has heard is its own.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._front_end = FrontEnd(pipeline.front_end, pipeline.mel)
        spec = pipeline.segment
        self._spectrum = ClipSpectrum(ClipSpectrumSpec.beside(pipeline.front_end, spec)) if spec.spectrum else None
        self._embedding = pipeline.embedding()

    def initial_state(self) -> ChannelState:
        """Return the memory of a channel that has heard nothing."""
        spectrum = None if self._spectrum is None else self._spectrum.initial_state()
        return ChannelState(self._front_end.initial_state(), spectrum, self._embedding.initial_state())

    def advance(self, states: Sequence[ChannelState], blocks: Sequence[Samples]) -> list[EmbeddedSegments]:
        """Take the next samples of some channels, float32 [n] each, any n; return the segments they complete.

        Raises:
            ValueError: a block of more than one dimension; no channel has changed then.
        """
        frames = self._front_end.advance([state.front_end for state in states], blocks)
        return self._embedding.advance([state.embedding for state in states], frames, self._spectra(states, blocks))

    def _spectra(self, states: Sequence[ChannelState], blocks: Sequence[Samples]) -> list[Samples] | None:
        """Return the spectra of the segments that these blocks complete, float32 [segments, bins] a channel."""
        if self._spectrum is None:
            return None
        rings = [state.spectrum for state in states if state.spectrum is not None]
        return [self._spectrum.advance(ring, block).magnitudes for ring, block in zip(rings, blocks, strict=True)]


class SegmentStream(Stage[Samples, EmbeddedSegments, ChannelState]):
    """One channel: samples in, embedded segments out."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._streams = SegmentStreams(pipeline)
        super().__init__()

    @property
    def latency(self) -> int:
        """Samples from the start of a segment until it is embedded."""
        return self._pipeline.shortest_samples - self._pipeline.context * self._pipeline.front_end.hop

    def initial_state(self) -> ChannelState:
        """Return the memory of a channel that has heard nothing."""
        return self._streams.initial_state()

    def push(self, taken: Samples) -> EmbeddedSegments:
        """Take the next samples, float32 [n], any n; return the segments they complete."""
        return self._streams.advance([self._state], [taken])[0]

    def flush(self) -> EmbeddedSegments:
        """Drop the last, incomplete segment."""
        nothing = self._streams.advance([self.initial_state()], [np.zeros(0, np.float32)])[0]
        self.reset()
        return nothing
