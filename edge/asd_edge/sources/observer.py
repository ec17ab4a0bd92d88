"""What somebody who listens to a source wants to know beside its blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.sources.health import MicrophoneHealth


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

    def off_rate(self, found: bool) -> None:
        """Take note of whether the sound comes at another rate than was said."""
        if self.health is not None:
            self.health.off_rate(found)

    def unusable_file(self, why: str | None) -> None:
        """Take note of why the last file of a watched folder could not be used; None when it could."""
        if self.health is not None:
            self.health.unusable_file(why)


NOBODY = Observer()
