"""Clips to enroll: read from files, or recorded from a machine's own source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from asd_edge.config import MachineTable
from asd_edge.enroll import FEWEST_CLIPS, RecordedClip
from asd_edge.errors import SourceError
from asd_edge.sources.file import read_clip
from asd_edge.sources.open import open_source

_CLIP_S = 10.0


def read_clips(
    paths: Sequence[Path],
    *,
    rate: int,
    channel: int | None,
    source_rate: int | None,
    progress: Callable[[float], None],
) -> list[RecordedClip]:
    """Read clips, calling `progress` with 1 after each.

    Raises:
        SourceError: one of them cannot be used.
    """
    clips = []
    for path in paths:
        samples = read_clip(path, rate=rate, channel=channel, source_rate=source_rate)
        clips.append(RecordedClip(path.name, samples))
        progress(1.0)
    return clips


def record_clips(
    machine: MachineTable, *, rate: int, seconds: float, progress: Callable[[float], None]
) -> list[RecordedClip]:
    """Record `seconds` from the machine's source, calling `progress` with the seconds of each block.

    The recording is cut into clips of equal length, three at least and about ten seconds each.

    Raises:
        SourceError: the source fails, or ends too early.
    """
    source = open_source(
        machine.source,
        rate=rate,
        channel=machine.channel,
        source_rate=machine.source_rate,
        speed=machine.speed,
    )
    wanted, blocks, heard = round(seconds * rate), [], 0
    try:
        for block in source.blocks():
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
    count = max(FEWEST_CLIPS, round(seconds / _CLIP_S))
    parts = np.array_split(np.concatenate(blocks)[:wanted], count)
    return [RecordedClip(f"recorded-{number}", part) for number, part in enumerate(parts, start=1)]
