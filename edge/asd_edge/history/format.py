"""The history file of a machine: a header, then a ring of records of fixed size.

Not the sound is kept: embeddings are what any set of conditions can be scored with again, as the detector would have
done it. The record with sequence number q lies at place q % capacity, and its checksum tells a whole record from a
torn one.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.aggregation import EmbeddedSegments
from asd_edge.strict import RefusalError

MAGIC: Final = b"asd-hist"
VERSION: Final = 1

_HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("dims", "<u4"),
        ("capacity", "<u8"),
        ("rate", "<u4"),
        ("hop", "<u4"),
        ("embedding_id", "S64"),
        ("crc", "<u4"),  # of all before it
    ]
)
HEADER_BYTES: Final = _HEADER.itemsize
_MOST_DIMS, _MOST_RECORDS = 65_536, 1 << 32

MOST_BYTES: Final = 384 << 20
"""Of a machine's history, whatever the hours: as much as the longest that may be asked for, fourteen days, takes at 128
numbers a second. At 8384 numbers that is seven hours. Who enrolls reads all of it into memory, twice as large there."""

Records = NDArray[Any]
"""Of the dtype HistoryLayout.record, [records]."""


def history_path(state_dir: Path, machine: str) -> Path:
    """Return where the history of a machine lies."""
    return state_dir / "history" / f"{machine}.bin"


@dataclass(frozen=True)
class Stretch:
    """Consecutive segments of one stream, without a gap.

    `times`: UTC seconds at which each segment ended, float64 [segments]. `first_sample`: absolute index of each
    segment's first sample, int64 [segments].
    """

    times: NDArray[np.float64]
    first_sample: NDArray[np.int64]
    segments: EmbeddedSegments


@dataclass(frozen=True)
class HistoryLayout:
    """What a history file holds.

    Args:
        embedding_id: the kind of its embeddings (Bundle.embedding_id).
        dims: numbers of an embedding.
        capacity: segments that it holds.
        rate: samples a second that its sample indices count.
        hop: samples from one frame to the next.
    """

    embedding_id: str
    dims: int
    capacity: int
    rate: int
    hop: int

    @classmethod
    def of_hours(cls, embedding_id: str, dims: int, hours: float, *, rate: int, hop: int, step: int) -> HistoryLayout:
        """Return the layout that holds so many hours of segments every `step` frames, or as many as MOST_BYTES do."""
        wanted = round(hours * 3600.0 * rate / (step * hop))
        room = (MOST_BYTES - HEADER_BYTES) // cls(embedding_id, dims, 1, rate, hop).record.itemsize
        return cls(embedding_id, dims, max(1, min(wanted, room)), rate, hop)

    def __str__(self) -> str:
        """Return it in a person's words."""
        return (
            f"{self.capacity} segments of {self.dims} numbers, of the embedding {self.embedding_id[:12]}, "
            f"at {self.rate} Hz with a hop of {self.hop}"
        )

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return HEADER_BYTES + self.capacity * self.record.itemsize

    # An embedding is scale · embedding: float16 alone would lose what is beyond 65504 or below 6e-5. Its 11 bits move
    # each number by a share of 2⁻¹¹ at most, so a cosine distance by at most 2⁻¹¹ sin(angle) < 5e-4; commonly by 1e-5.
    @property
    def record(self) -> np.dtype[Any]:
        """A segment on the disk. `origin`: absolute index of its stream's sample 0. `time`: of its end, UTC seconds.

        `stream` is another number after every gap and restart, for no window may span one.
        """
        return np.dtype(
            [
                ("crc", "<u4"),  # of all that follows
                ("stream", "<u4"),
                ("sequence", "<u8"),  # from 1: zeros are a place that was never written
                ("origin", "<i8"),
                ("first_frame", "<i8"),
                ("time", "<f8"),
                ("power", "<f4"),
                ("high_power", "<f4"),
                ("scale", "<f4"),
                ("embedding", "<f2", (self.dims,)),
            ]
        )

    def place(self, sequence: int) -> int:
        """Return the byte at which the record of that sequence number begins."""
        return HEADER_BYTES + sequence % self.capacity * self.record.itemsize

    def header(self) -> bytes:
        """Return the header as it is written."""
        header = np.zeros(1, _HEADER)
        header[0] = (MAGIC, VERSION, self.dims, self.capacity, self.rate, self.hop, self.embedding_id.encode(), 0)
        header["crc"] = zlib.crc32(header.tobytes()[:-4])
        return header.tobytes()

    @classmethod
    def of(cls, path: Path) -> HistoryLayout:
        """Read the header of a file.

        Raises:
            RefusalError: no history, one of another version, or a damaged or shortened one.
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            data, size = file.read(HEADER_BYTES), os.fstat(file.fileno()).st_size
        expected = f"a history of version {VERSION}"
        if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
            raise RefusalError("a file that is no history", expected)
        header = np.frombuffer(data, _HEADER)[0]
        if header["version"] != VERSION:
            raise RefusalError(f"version {header['version']}", expected)
        if header["crc"] != zlib.crc32(data[:-4]):
            raise RefusalError("a damaged header", expected)
        numbers = (int(header[name]) for name in ("dims", "capacity", "rate", "hop"))
        layout = cls(header["embedding_id"].decode(errors="replace"), *numbers)
        if not (1 <= layout.dims <= _MOST_DIMS and 1 <= layout.capacity <= _MOST_RECORDS and size == layout.size):
            raise RefusalError(f"a file of {size} bytes that does not fit its header", expected)
        return layout

    def records(self, origin: int, segments: EmbeddedSegments, times: NDArray[np.float64]) -> Records:
        """Return segments as records that have no numbers and no checksum yet."""
        records = np.zeros(len(segments), self.record)
        records["origin"] = origin
        records["first_frame"] = segments.first_frame
        records["time"] = times
        records["power"], records["high_power"] = segments.power, segments.high_power
        scale = np.maximum(np.abs(segments.embeddings).max(axis=1), np.finfo(np.float32).tiny)
        records["scale"] = scale
        records["embedding"] = segments.embeddings / scale[:, None]
        return records

    def stretch(self, records: Records) -> Stretch:
        """Return records, which follow one another, as what was heard."""

        def column(name: str) -> NDArray[Any]:
            return np.ascontiguousarray(records[name])

        embeddings = records["embedding"].astype(np.float32) * records["scale"][:, None]
        segments = EmbeddedSegments(column("first_frame"), embeddings, column("power"), column("high_power"))
        return Stretch(column("time"), records["origin"] + segments.first_frame * self.hop, segments)


def checksums(records: Records) -> NDArray[np.uint32]:
    """Return the checksum that each record should have, uint32 [records]."""
    rows = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), records.itemsize)
    return np.array([zlib.crc32(row) for row in rows[:, 4:]], dtype=np.uint32)


def whole(records: Records) -> NDArray[np.bool_]:
    """Say which records are neither empty nor torn, bool [records]."""
    return np.asarray((records["sequence"] > 0) & (checksums(records) == records["crc"]))
