"""From consecutive samples at a source's own rate to blocks at the rate asked for."""

from __future__ import annotations

from time import monotonic

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.resample import Resampler
from asd_edge.errors import SourceError
from asd_edge.sources.block import Block

_APART_S = 1.0  # less is the pipe between source and listener filling and emptying


class Conversion:
    """Numbers and dates samples, and resamples them where the rates differ.

    The time of a sample is that of the first one plus its index over the rate: the source's clock, not ours. A live
    source is held to ours by `keep_time`.

    Args:
        source_rate: samples a second that are pushed.
        rate: samples a second of the blocks, at most `source_rate`.
        time: UTC seconds at which the first sample was captured.

    Raises:
        SourceError: a pair of rates that no filter of sensible size connects.
    """

    def __init__(self, source_rate: int, rate: int, *, time: float) -> None:
        self._source_rate = source_rate
        self._rate = rate
        self._time = time
        self._arrived = 0.0
        self._start = 0
        self._faults: tuple[str, ...] = ()
        self._resampler = None if source_rate == rate else _resampler(source_rate, rate)

    def push(
        self, samples: NDArray[np.float32], *, arrived: float | None = None, faults: tuple[str, ...] = ()
    ) -> list[Block]:
        """Take the next samples; return the block they complete, if any.

        Args:
            samples: float32 [n] in -1..1.
            arrived: seconds of the monotonic clock at which they were there; None for now.
            faults: of the microphone that heard them.
        """
        self._faults = faults
        self._arrived = monotonic() if arrived is None else arrived
        return self._block(samples if self._resampler is None else self._resampler.push(samples))

    def keep_time(self, captured: float) -> None:
        """Date the following blocks anew if the two clocks have come apart by more than a second.

        A microphone's crystal drifts by seconds a day, and NTP may set our clock long after the source was opened.
        Numbers of samples stay as they are: durations are counted in them.

        Args:
            captured: UTC seconds, by our clock, at which the next sample to be pushed was captured.
        """
        apart = captured - (self._time + self._start / self._rate)
        if abs(apart) > _APART_S:
            self._time += apart

    def flush(self) -> list[Block]:
        """End a stretch of sound: return what the filter still owes, if anything."""
        return [] if self._resampler is None else self._block(self._resampler.flush())

    def skip(self, seconds: float) -> None:
        """Leave a gap, after a flush: sound of this length was lost."""
        self._start += max(1, round(seconds * self._rate))

    def _block(self, samples: NDArray[np.float32]) -> list[Block]:
        if len(samples) == 0:
            return []
        block = Block(samples, self._start, self._time + self._start / self._rate, self._arrived, self._faults)
        self._start += len(samples)
        return [block]


def check_rates(what: str, *, found: int, rate: int, source_rate: int | None) -> None:
    """Refuse sound of a rate that was not asked for.

    Args:
        what: the source, as a message begins: "The file x.wav".
        found: the rate it has.
        rate: the rate the model needs.
        source_rate: the rate it was said to have; without it, `rate`.

    Raises:
        SourceError: the sound has another rate than was said, or one below the model's.
    """
    if found < rate:
        raise SourceError(
            f"{what} does not hold the frequencies the model listens to",
            found=f"{found} samples a second",
            expected=f"{rate} samples a second or more",
            remedy="Record at a higher rate; resampling cannot bring back what was never recorded.",
        )
    expected = rate if source_rate is None else source_rate
    if found != expected:
        raise SourceError(
            f"{what} has another sample rate",
            found=f"{found} samples a second",
            expected=f"{expected} samples a second",
            remedy=f"Set source_rate to {found} (--source-rate {found} on the command line) to have it resampled, "
            f"or record at {expected}.",
        )


def _resampler(source_rate: int, rate: int) -> Resampler:
    try:
        return Resampler(source_rate, rate)
    except ValueError:
        raise SourceError(
            "These sample rates cannot be converted",
            found=f"{source_rate} to {rate} samples a second",
            expected="rates in a ratio of small numbers, such as 44100 or 48000 to 16000",
            remedy="Record at a common rate.",
        ) from None
