"""What the two ways to embed have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import Frames
from asd_edge.scoring.aggregation import EmbeddedSegments

State = TypeVar("State")
Spectra = NDArray[np.float32]
"""The magnitude spectra of one channel's segments, float32 [segments, bins]."""


class Embedding(ABC, Generic[State]):
    """Turns the frames of any number of channels into embedded segments, each embedded once.

    What is remembered of a channel is one dataclass made by `initial_state`. How the frames are cut into calls, and
    which channels are advanced together, changes nothing in what comes out but the last bits of a sum.
    One instance serves one thread.
    """

    @property
    @abstractmethod
    def dims(self) -> int:
        """Length of an embedding."""

    @property
    @abstractmethod
    def latency(self) -> int:
        """Frames from the start of a segment until it can be embedded."""

    @property
    @abstractmethod
    def warm_up(self) -> int:
        """Frames at the start of a stream before the first that a segment may cover."""

    @abstractmethod
    def initial_state(self) -> State:
        """Return the memory of a channel that has heard nothing."""

    @abstractmethod
    def advance(
        self, states: Sequence[State], frames: Sequence[Frames], spectra: Sequence[Spectra] | None = None
    ) -> list[EmbeddedSegments]:
        """Take the next frames of some channels, any number of each; return the segments that they complete.

        Args:
            states: one a channel, changed in place; each channel once.
            frames: what follows in each channel.
            spectra: of the segments that these complete, in each channel; only where segments come with spectra.

        Raises:
            ValueError: frames that do not fit or do not follow those before; no channel has changed then.
        """


AnyEmbedding = Embedding[Any]
