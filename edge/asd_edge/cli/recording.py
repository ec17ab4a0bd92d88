"""Clips to enroll: read from files, or recorded from a machine's own source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.config import MachineTable
from asd_edge.control import NoDaemonError, last_sound
from asd_edge.enrollment.clips import RecordedClip
from asd_edge.errors import SourceError, StateError
from asd_edge.sources.file import read_clip
from asd_edge.sources.open import open_machine
from asd_edge.sources.shared import SharedDevices

_CLIP_S = 10.0


def read_clips(
    paths: Sequence[Path],
    *,
    rate: int,
    channel: int | None,
    source_rate: int | None,
) -> Iterator[RecordedClip]:
    """Read clips one by one, so that many of them need no more memory than one.

    Raises:
        SourceError: one of them cannot be used.
    """
    for path in paths:
        yield RecordedClip(path.name, read_clip(path, rate=rate, channel=channel, source_rate=source_rate))


def record_clips(
    machine: MachineTable,
    shared: SharedDevices,
    *,
    rate: int,
    seconds: float,
    progress: Callable[[float], None],
) -> list[RecordedClip]:
    """Record `seconds` from the machine's source, calling `progress` with the seconds of each block.

    The recording is cut into clips of equal length, ten seconds or more each.

    Args:
        machine: its source, with channel and rates.
        shared: the device file's microphones: how many channels each is opened with.
        rate: samples a second of the clips.
        seconds: how long to record; half a minute makes three clips.
        progress: what hears of each block.

    Raises:
        SourceError: the source fails, ends too early, or loses sound.
    """
    return _cut(_record(machine, shared, rate=rate, seconds=seconds, progress=progress), seconds, "recorded")


def last_clips(state_dir: Path, machine: str, *, seconds: float, rate: int) -> list[RecordedClip]:
    """Return the last `seconds` that the running daemon heard of a machine, cut as `record_clips` does.

    Args:
        state_dir: the daemon's.
        machine: its id.
        seconds: how much; the daemon keeps `device.ring_s`.
        rate: samples a second that the clips must have.

    Raises:
        StateError: no daemon runs, it has not heard so much without a gap, or it uses a bundle of another rate.
    """
    try:
        sound, heard_at = last_sound(state_dir, machine, seconds)
    except NoDaemonError as error:
        remedy = "Start asd-edge run, or give clips, or --record."
        raise StateError(error.what, found=error.found, expected=error.expected, remedy=remedy) from None
    if heard_at != rate:
        raise StateError(
            "The daemon hears at another rate than the bundle of the device file",
            found=f"{heard_at} samples a second",
            expected=f"{rate} samples a second",
            remedy="Restart asd-edge run, so that it uses the device file as it is now.",
        )
    return _cut(sound, seconds, "heard")


def _cut(sound: NDArray[np.float32], seconds: float, name: str) -> list[RecordedClip]:
    parts = np.array_split(sound, max(1, int(seconds / _CLIP_S)))
    return [RecordedClip(f"{name}-{number}", part) for number, part in enumerate(parts, start=1)]


def _record(
    machine: MachineTable,
    shared: SharedDevices,
    *,
    rate: int,
    seconds: float,
    progress: Callable[[float], None],
) -> NDArray[np.float32]:
    """Return `seconds` of the machine's source without a break, float32 [n]."""
    source = open_machine(machine, rate=rate, shared=shared)
    wanted, blocks, heard = round(seconds * rate), [], 0
    try:
        for block in source.blocks():
            if block.start != heard:
                raise SourceError(
                    f"The source {machine.source} lost sound while it was recorded",
                    found=f"a gap of {(block.start - heard) / rate:.2f} s after {heard / rate:.1f} s",
                    expected="one recording without a break",
                    remedy="Stop what else keeps this computer busy, check the microphone's cable, and record again.",
                )
            blocks.append(block.samples)
            heard += len(block.samples)
            progress(len(block.samples) / rate)
            if heard >= wanted:
                break
    finally:
        source.close()
    if heard < wanted:
        raise SourceError(
            f"The source {machine.source} ended while it was recorded",
            found=f"{heard / rate:.1f} s",
            expected=f"{seconds:.1f} s",
            remedy="Record fewer seconds, or check the source.",
        )
    return np.concatenate(blocks)[:wanted]
