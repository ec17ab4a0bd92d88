"""What somebody who listens to a source wants to know beside its blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.sources.health import MicrophoneHealth, SourceWarning


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Observer:
    """Told of what happens at a source, in the thread that listens to it.

    `waiting`: called at least every second while no sound comes.
    `health`: examines the sound at the device's own rate and counts what is lost; None for nobody.
    """

    waiting: Callable[[], None] = nothing
    health: MicrophoneHealth | None = None

    def hear(
        self, pcm: NDArray[np.int16], *, rate: int, channel: int = 0, others: Sequence[int] = ()
    ) -> tuple[str, ...]:
        """Take samples of a device, int16 [n, channels]; return the microphone's faults as they stand."""
        return () if self.health is None else self.health.hear(pcm, rate=rate, channel=channel, others=others)

    def lose(self, seconds: float) -> None:
        """Take note of sound that was lost while the source was open."""
        if self.health is not None:
            self.health.lose(seconds)

    def warn(self, warning: SourceWarning, found: bool) -> None:
        """Take note of whether the source itself gives reason for a warning."""
        if self.health is not None:
            self.health.warn(warning, found)


NOBODY = Observer()
