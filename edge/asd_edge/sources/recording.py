"""WAV and FLAC files, checked and read in pieces."""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from asd_edge.errors import SourceError
from asd_edge.sources.conversion import check_rates

_FORMATS = {"WAV", "WAVEX", "RF64", "FLAC"}
_SUBTYPES = {"PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"}


@dataclass(frozen=True, slots=True)
class Recording:
    """One channel of a sound file that may be used: `frames` samples at `rate` a second."""

    path: Path
    rate: int
    frames: int
    channel: int

    def read(self, size: int) -> Iterator[NDArray[np.float32]]:
        """Yield the samples in pieces of `size`, float32 [n], the last one shorter.

        Raises:
            SourceError: the file is damaged, ends before its time, or holds a sample that is no number.
        """
        position = 0
        with _opened(self.path) as file:
            while position < self.frames:
                try:
                    piece = file.read(size, dtype="float32", always_2d=True)[:, self.channel]
                except soundfile.LibsndfileError as error:
                    found = f"{position} of {self.frames} samples, then: {error}"
                    raise _truncated(self.path, found) from None
                if len(piece) == 0:
                    raise _truncated(self.path, f"{position} of {self.frames} samples")
                self._refuse_no_number(piece, position)
                position += len(piece)
                yield np.ascontiguousarray(piece)

    def _refuse_no_number(self, piece: NDArray[np.float32], position: int) -> None:
        finite = np.isfinite(piece)
        if finite.all():
            return
        first = int(np.argmin(finite))
        raise SourceError(
            f"The file {self.path.name} holds a sample that is no number",
            found=f"{piece[first]} at sample {position + first} ({(position + first) / self.rate:.3f} s)",
            expected="numbers only",
            remedy="Record or convert the file again; if it was computed, mend the computation.",
        )


def open_recording(path: Path, *, rate: int, channel: int | None, source_rate: int | None) -> Recording:
    """Check a sound file without reading its samples.

    Args:
        path: a WAV or FLAC file of at least 16 bits a sample.
        rate: samples a second that the model needs.
        channel: which channel to hear; needed when there are several.
        source_rate: samples a second that the file is said to have; without it, `rate`.

    Raises:
        SourceError: missing, empty, cut short, no sound file, of a coarse or unknown coding, of another rate,
            or of several channels when none was chosen.
    """
    _refuse_no_file(path)
    with _opened(path) as file:
        _refuse_coding(path, file.format, file.subtype)
        check_rates(f"The file {path.name}", found=file.samplerate, rate=rate, source_rate=source_rate)
        chosen = choose_channel(f"The file {path.name}", channels=file.channels, channel=channel)
        frames = file.frames
    missing = _missing_bytes(path)
    if missing:
        raise _truncated(path, f"{missing} bytes fewer than its header promises")
    if frames == 0:
        raise SourceError(
            f"The file {path.name} holds no sound",
            found="a header without samples",
            expected="at least one sample",
            remedy="Record again; a recorder that was killed may leave such a file.",
        )
    return Recording(path, file.samplerate, frames, chosen)


def choose_channel(what: str, *, channels: int, channel: int | None) -> int:
    """Return the channel to hear.

    Raises:
        SourceError: several channels and no choice, or a channel that is not there.
    """
    if channel is None and channels > 1:
        raise SourceError(
            f"{what} has several channels, and none was chosen",
            found=f"{channels} channels",
            expected="one channel",
            remedy=f"Choose a channel from 0 to {channels - 1} (--channel on the command line); a mix would change "
            "the sound.",
        )
    if channel is not None and not 0 <= channel < channels:
        raise SourceError(
            f"{what} does not have this channel",
            found=f"channel {channel} of {channels} channel{'s' if channels > 1 else ''}",
            expected=f"a channel from 0 to {channels - 1}",
            remedy="Choose another channel; the first one is 0.",
        )
    return channel or 0


def _refuse_no_file(path: Path) -> None:
    try:
        status = path.stat()
        found = "nothing of that name"
    except OSError as error:
        status, found = None, error.strerror or str(error)
    if status is None or not stat.S_ISREG(status.st_mode):
        raise SourceError(
            f"There is no sound file {path}",
            found=found if status is None else "something that is not a file",
            expected="a WAV or FLAC file",
            remedy="Correct the path.",
        )
    if status.st_size == 0:
        raise SourceError(
            f"The file {path.name} is empty",
            found="0 bytes",
            expected="a WAV or FLAC file",
            remedy="Record or copy it again; the disk may have been full.",
        )


def _opened(path: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(path)
    # soundfile takes a name in .raw for headerless sound and then misses its format: a TypeError.
    except (soundfile.LibsndfileError, TypeError, OSError) as error:
        raise SourceError(
            f"The file {path.name} is not a sound file",
            found=str(getattr(error, "error_string", error)),
            expected="a WAV or FLAC file",
            remedy="Check what wrote it; for samples without a header use raw:PATH.",
        ) from None


def _refuse_coding(path: Path, container: str, coding: str) -> None:
    if container in _FORMATS and coding in _SUBTYPES:
        return
    raise SourceError(
        f"The file {path.name} has a coding that changes what the model hears",
        found=f"{container}, {coding}",
        expected="WAV or FLAC with 16 bits a sample or more, without lossy compression",
        remedy="Record again in 16 bits; the noise of 8-bit, u-law, a-law or lossy sound hides faint faults.",
    )


def _truncated(path: Path, found: str) -> SourceError:
    return SourceError(
        f"The file {path.name} is cut short or damaged",
        found=found,
        expected="all samples that its header promises",
        remedy="Copy or record it again.",
    )


def _missing_bytes(path: Path) -> int:
    """Return how many bytes of samples a WAV file lacks: libsndfile reads what there is without a word."""
    with path.open("rb") as file:
        if file.read(4) not in (b"RIFF", b"RF64"):
            return 0
        file.seek(12)
        large = 0  # RF64 keeps the size of its samples in the chunk ds64
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name == b"ds64":
                large = struct.unpack("<8xQ", file.read(16))[0]
                file.seek(size - 16 + size % 2, 1)
            elif name == b"data":
                size = large if size == 0xFFFF_FFFF and large else size
                return max(0, file.tell() + size - path.stat().st_size)
            else:
                file.seek(size + size % 2, 1)
    return 0
