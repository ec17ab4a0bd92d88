"""What a second of 16-bit sound tells of the microphone behind it: pure functions of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FULL_SCALE = 32_768.0
_NO_POWER = 1e-12  # -120 dBFS; half a step of 16 bits is at -96

# A sample that is held k times makes 1 − 1/k of all steps zero, and what is left of the band is 1/k: from 4 on nothing
# is heard as it was. Sound so faint that it stands on one value for long has zero steps as well, but its other steps
# are the smallest there are, or twice that: Gaussian steps of deviation σ are 0 with a probability of 1/(σ·√(2π)), 5 %
# at 8. The smallest step is 16 of a converter of 12 bits, and another one behind a digital gain.
_HELD_SHARE = 0.75
_REAL_STEP = 8

# Correlation r of two channels: what is left of one after the best copy of the other is taken away has 1 − r² of its
# power, −27 dB at 0.999. Two microphones, even side by side, differ by more as soon as their distance is a part of a
# wavelength. The first difference comes before, or hum in both cables (50 Hz) would be all that is compared.
_SAME = 0.999


@dataclass(frozen=True, slots=True)
class Second:
    """`level_dbfs`: of the sound without its offset. `dc`: the offset, `clipped_share`: samples in runs at full scale,
    both as parts of one. `stuck`: the samples cannot come from a sound.
    """

    level_dbfs: float
    dc: float
    clipped_share: float
    stuck: bool


def examine(pcm: NDArray[np.int16]) -> Second:
    """Return what samples of one channel, int16 [n], tell of their microphone."""
    samples = pcm.astype(np.float64) / _FULL_SCALE
    dc = float(samples.mean())
    power = float(np.square(samples - dc).mean())
    full = (pcm == 32_767) | (pcm == -32_768)
    return Second(
        level_dbfs=10.0 * math.log10(max(power, _NO_POWER)),
        dc=dc,
        clipped_share=_share_in_runs(full) if full.any() else 0.0,
        stuck=_held(pcm, full) or _stuck_bits(pcm) != 0,
    )


def same_sound(pcm: NDArray[np.int16], channel: int, others: Sequence[int]) -> list[int]:
    """Return those of the other channels that carry what `channel` carries, perhaps louder or upside down.

    Args:
        pcm: int16 [n, channels].
        channel: the machine's.
        others: channels to compare with.
    """
    if not others or len(pcm) < 2:
        return []
    steps = np.diff(pcm.astype(np.float32), axis=0)
    own = steps[:, channel]
    power = float(own @ own)
    same = []
    for other in others:
        theirs = steps[:, other]
        both = power * float(theirs @ theirs)
        if both > 0.0 and abs(float(own @ theirs)) > _SAME * math.sqrt(both):
            same.append(other)
    return same


def _share_in_runs(full: NDArray[np.bool_]) -> float:
    """Return the share of samples at full scale beside another one: a single peak may just reach it."""
    pairs = full[1:] & full[:-1]
    in_run = np.zeros_like(full)
    in_run[1:] |= pairs
    in_run[:-1] |= pairs
    return float(in_run.mean())


def _held(pcm: NDArray[np.int16], full: NDArray[np.bool_]) -> bool:
    """Say whether samples are repeated: sample and hold. One that never changes is silence, whatever its value."""
    steps = np.abs(np.diff(pcm.astype(np.int32)))
    moved = steps[steps > 0]
    if len(moved) == 0:
        return False
    held = (steps == 0) & ~full[1:]  # clipped sound stands still as well
    return float(held.mean()) >= _HELD_SHARE and float(np.median(moved)) >= _REAL_STEP * int(moved.min())


def _stuck_bits(pcm: NDArray[np.int16]) -> int:
    """Return the bits that never change between others that do.

    The values of a sound fill an interval. Where its highest changing bit changes, all bits below were 1 and become 0.
    Those above it change never, as in sound with an offset, and so may the lowest: a converter of 12 bits.
    """
    words = pcm.view(np.uint16)
    changing = int(np.bitwise_or.reduce(words)) & ~int(np.bitwise_and.reduce(words))
    if changing == 0:
        return 0
    lowest = changing & -changing
    between = (1 << changing.bit_length()) - lowest
    return between & ~changing
