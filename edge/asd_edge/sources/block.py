"""The value every source yields, and what a source is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive mono samples.

    `samples`: float32 in -1..1, [n]. `start`: absolute index of the first one at the source's output rate.
    `time`: UTC seconds at which it was captured. A live source (microphone, raw) keeps it within about a second of
    the wall clock, so it may jump where `start` does not: measure durations by `start`.
    `arrived`: seconds of the monotonic clock at which the last sample was there.
    `faults`: what is wrong with the microphone that heard it (sources/health.py); what it heard is not judged then.
    """

    samples: NDArray[np.float32]
    start: int
    time: float
    arrived: float = field(default_factory=monotonic)
    faults: tuple[str, ...] = ()


class Source(Protocol):
    """Sound of one machine at `rate` samples a second. A source is listened to once."""

    rate: int

    def blocks(self) -> Iterator[Block]:
        """Yield blocks until the sound ends or `close` is called.

        A block that does not start where the one before ended says that sound was lost in between.

        Raises:
            SourceError: the sound cannot be read (any further).
        """
        ...

    def close(self) -> None:
        """End `blocks` soon, from any thread, without waiting; a second call changes nothing.

        The device is free when the iteration of `blocks` is over.
        """
        ...
