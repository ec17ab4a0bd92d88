"""Sound files: as a source that plays them in real time, and whole as clips."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import SourceError
from asd_edge.sources.block import Block
from asd_edge.sources.conversion import Conversion
from asd_edge.sources.observer import NOBODY, Observer
from asd_edge.sources.pacing import Pace
from asd_edge.sources.recording import open_recording

CLIP_LIMIT_S = 600.0
_PIECE_S = 1.0


class FileSource:
    """A WAV or FLAC file, heard as if it were recorded now.

    Raises:
        SourceError: a file that cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate: int,
        channel: int | None,
        source_rate: int | None,
        speed: float,
        block_s: float,
        observer: Observer = NOBODY,
    ) -> None:
        self.rate = rate
        self._recording = open_recording(path, rate=rate, channel=channel, source_rate=source_rate)
        self._size = max(1, round(block_s * self._recording.rate))
        self._pace = Pace(speed, observer.waiting)

    def blocks(self) -> Iterator[Block]:
        """Yield the file's blocks, each when its last sample is due.

        Raises:
            SourceError: the file turns out to be damaged, cut short, or to hold samples that are no numbers.
        """
        self._pace.start()
        conversion = Conversion(self._recording.rate, self.rate, time=time.time())
        heard = 0
        for piece in self._recording.read(self._size):
            heard += len(piece)
            if not self._pace.reach(heard / self._recording.rate):
                return
            yield from conversion.push(piece)
        yield from conversion.flush()

    def close(self) -> None:
        """End `blocks` at once, from any thread."""
        self._pace.close()


def read_clip(
    path: Path, *, rate: int, channel: int | None = None, source_rate: int | None = None
) -> NDArray[np.float32]:
    """Return a whole clip, float32 [n] in -1..1 at `rate`; the same samples as `FileSource` yields.

    Raises:
        SourceError: a file that cannot be used, or one of more than ten minutes.
    """
    recording = open_recording(path, rate=rate, channel=channel, source_rate=source_rate)
    duration_s = recording.frames / recording.rate
    if duration_s > CLIP_LIMIT_S:
        raise SourceError(
            f"The file {path.name} is too long for a clip",
            found=f"{duration_s / 60.0:.1f} minutes",
            expected=f"at most {CLIP_LIMIT_S / 60.0:.0f} minutes",
            remedy="Cut it into clips, or score it as a whole with `asd-edge score`.",
        )
    conversion = Conversion(recording.rate, rate, time=0.0)
    size = round(_PIECE_S * recording.rate)
    blocks = [block for piece in recording.read(size) for block in conversion.push(piece)]
    return np.concatenate([block.samples for block in blocks + conversion.flush()])
