"""Pictures of at most 256 colours as PNG files: a device has no library that draws."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


# PNG, third edition (W3C 2025): chunks 5.3, IHDR 11.2.1, PLTE 11.2.2, IDAT 11.2.3; colour type 3 is indexed colour,
# and each row begins with the number of its filter, 0: none (9.2).
def png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Return a PNG file.

    Args:
        pixels: index of each pixel's colour, uint8 [height, width], the top row first.
        palette: red, green, blue of each colour, uint8 [colours, 3], 256 at most.
    """
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.zeros((height, 1 + width), np.uint8)
    rows[:, 1:] = pixels
    chunks = ((b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(rows.tobytes(), 6)))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in (*chunks, (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
