"""An embedding of one channel in the form of a stage, so that the contract of stages holds for it too."""

from __future__ import annotations

from typing import Any

import numpy as np

from asd_edge.dsp.front_end import Frames
from asd_edge.dsp.stage import Stage
from asd_edge.embedding.embedding import AnyEmbedding
from asd_edge.scoring.aggregation import EmbeddedSegments


class EmbeddingStage(Stage[Frames, EmbeddedSegments, Any]):
    """Frames in, embedded segments out."""

    def __init__(self, embedding: AnyEmbedding) -> None:
        self._embedding = embedding
        super().__init__()

    @property
    def latency(self) -> int:
        return self._embedding.latency

    def initial_state(self) -> Any:
        return self._embedding.initial_state()

    def push(self, taken: Frames) -> EmbeddedSegments:
        return self._embedding.advance([self._state], [taken])[0]

    def flush(self) -> EmbeddedSegments:
        nothing = np.zeros(0, np.float32)
        none = Frames(0, np.zeros((0, 128), np.float32), nothing, nothing)
        self.reset()
        return self._embedding.advance([self.initial_state()], [none])[0]
