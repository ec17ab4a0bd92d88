"""The file of a corpus: all rows of its clips one after the other, and where each clip begins.

    rows     float32, little-endian, [total, *shape]; at the start of the file, so that they can be mapped as they lie
    index    JSON: what the rows are
    footer   size and CRC-32 of the index, magic number

The index comes last, as in Parquet, because it is known last: clips are written as they are computed.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt

from asd_edge.atomic import atomic_write
from asd_edge.strict import RefusalError, Sha256, Strict, parse_versioned

_FORMAT: Literal["asd-train-pack"] = "asd-train-pack"
_VERSION: Literal[1] = 1
_FOOTER = struct.Struct("<QI4s")
_MAGIC = b"ASDP"
_DTYPE = np.dtype("<f4")
_CHUNK = 1 << 26  # bytes checked at a time


class PackIndex(Strict):
    """What the rows of a pack are.

    Attributes:
        key: digest of what the rows were made from.
        shape: of one row: (bands,) for frames, () for samples.
        lengths: rows of each clip.
        crc32: of all rows.
    """

    format: Literal["asd-train-pack"] = _FORMAT
    version: Literal[1] = _VERSION
    key: Sha256
    shape: tuple[PositiveInt, ...]
    lengths: tuple[NonNegativeInt, ...]
    crc32: NonNegativeInt


def write_pack(path: Path, key: str, shape: tuple[int, ...], clips: Iterable[NDArray[np.float32]]) -> None:
    """Write the rows of all clips, [length, *shape] each; the file appears complete or not at all.

    Raises:
        ValueError: a clip of other rows.
        OSError: the folder is missing, read-only or full.
    """
    lengths, crc = [], 0
    with atomic_write(path) as file:
        for clip in clips:
            if clip.shape[1:] != shape or clip.dtype != np.float32:
                raise ValueError(f"{clip.dtype} {list(clip.shape)} are not float32 rows of {list(shape)}")
            data = np.ascontiguousarray(clip, _DTYPE).tobytes()
            file.write(data)
            crc = zlib.crc32(data, crc)
            lengths.append(len(clip))
        index = PackIndex(key=key, shape=shape, lengths=tuple(lengths), crc32=crc).model_dump_json().encode()
        file.write(index)
        file.write(_FOOTER.pack(len(index), zlib.crc32(index), _MAGIC))


def map_pack(path: Path, key: str) -> tuple[NDArray[np.float32], PackIndex]:
    """Map the rows of a pack into memory, float32 [total, *shape], after every byte was checked.

    The mapping is private: the file never changes, whatever is done to the array.

    Raises:
        RefusalError: damaged, or made from something else.
        OSError: missing or unreadable.
    """
    with path.open("rb") as file:
        index = _read_index(file.fileno(), key)
        shape = (sum(index.lengths), *index.shape)
        if 0 in shape:
            return np.zeros(shape, np.float32), index
        rows = np.memmap(file, _DTYPE, mode="c", shape=shape)
    data, crc = rows.data.cast("B"), 0
    for start in range(0, len(data), _CHUNK):
        crc = zlib.crc32(data[start : start + _CHUNK], crc)
    if crc != index.crc32:
        raise RefusalError(f"rows with the checksum {crc:08x}", f"{index.crc32:08x}")
    return rows, index


def _read_index(file: int, key: str) -> PackIndex:
    size = os.fstat(file).st_size
    footer = os.pread(file, _FOOTER.size, max(0, size - _FOOTER.size))
    if len(footer) < _FOOTER.size or not footer.endswith(_MAGIC):
        raise RefusalError("a file without its end", "a whole pack")
    length, crc, _ = _FOOTER.unpack(footer)
    start = size - _FOOTER.size - length
    data = os.pread(file, length, start) if start >= 0 else b""
    if len(data) != length or zlib.crc32(data) != crc:
        raise RefusalError("a damaged index", "a whole pack")
    index = parse_versioned(data, PackIndex, format=_FORMAT, version=_VERSION)
    rows = sum(index.lengths) * int(np.prod(index.shape, dtype=np.int64)) * _DTYPE.itemsize
    if index.key != key or rows != start:
        raise RefusalError(f"{start} bytes of rows made from {index.key}", f"{rows} made from {key}")
    return index
