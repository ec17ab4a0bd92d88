"""The file around a bundle: a zip of stored members in which every byte is accounted for.

`pack` has one output for one content, and `unpack` accepts that output only. So no bit can change unnoticed,
nothing can hide between members, and no compressed member can grow in memory. Any zip tool can look inside.
Layout: PKWARE APPNOTE 6.3, sections 4.3.7 (local header), 4.3.12 (central directory) and 4.3.16 (end record).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

from asd_edge.strict import RefusalError

MIB = 1 << 20
LIMITS = {
    "manifest.json": 4 * MIB,
    "signature.json": MIB,
    "segment.fp32.onnx": 128 * MIB,
    "segment.fp16.onnx": 128 * MIB,
    "segment.int8.onnx": 128 * MIB,
    "stream.fp32.onnx": 64 * MIB,
    "head.fp32.onnx": 64 * MIB,
    "stream.fp16.onnx": 64 * MIB,
    "head.fp16.onnx": 64 * MIB,
    "stream.int8.onnx": 64 * MIB,
    "head.int8.onnx": 64 * MIB,
    "mel.npy": 16 * MIB,
    "conditions.npy": 512 * MIB,
    "golden.npy": 16 * MIB,
}
"""The members in their order, and the largest size of each."""

TOTAL_LIMIT = sum(LIMITS.values()) + 4096
"""The largest bundle."""

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_NEEDS = 10  # zip 1.0: stored members
_MADE_BY = 3 << 8 | _NEEDS  # Unix
_MODE = 0o100644 << 16
_TIME, _DATE = 0, 1 << 5 | 1  # 1980-01-01 00:00, a zip's first moment: the bytes do not depend on the clock


def pack(members: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the archive of `members` in pieces, each with what it is; names not in LIMITS are left out."""
    directory = b""
    offset = 0
    names = [name for name in LIMITS if name in members]
    for name in names:
        data, raw_name = members[name], name.encode("ascii")
        common = (_NEEDS, 0, 0, _TIME, _DATE, zlib.crc32(data), len(data), len(data), len(raw_name), 0)
        header = _LOCAL.pack(_LOCAL_MAGIC, *common) + raw_name
        directory += _CENTRAL.pack(_CENTRAL_MAGIC, _MADE_BY, *common, 0, 0, 0, _MODE, offset) + raw_name
        offset += len(header) + len(data)
        yield name, header
        yield name, data
    yield "directory", directory
    yield "end record", _END.pack(_END_MAGIC, 0, 0, len(names), len(names), len(directory), offset, 0)


def unpack(archive: bytes) -> dict[str, bytes]:
    """Return the members of an archive that `pack` wrote.

    Raises:
        RefusalError: anything else; what was found says which member is damaged, foreign or too large.
    """
    first_member(archive)
    members: dict[str, bytes] = {}
    position = 0
    while archive.startswith(_LOCAL_MAGIC, position):
        name, start, size = _member_at(archive, position)
        if name in members:
            raise RefusalError(f"the member {name} twice", "each member once")
        position = start + size
        members[name] = archive[start:position]
    _compare(archive, members)
    return members


def first_member(archive: bytes) -> tuple[str, bytes]:
    """Return the name and content of an archive's first member, whatever follows it.

    Raises:
        RefusalError: the archive does not begin with a member that `pack` could have written.
    """
    if not archive.startswith(_LOCAL_MAGIC):
        raise RefusalError(f"a file that begins with {archive[:4]!r}", "a bundle, which is a zip file")
    name, start, size = _member_at(archive, 0)
    return name, archive[start : start + size]


def _member_at(archive: bytes, position: int) -> tuple[str, int, int]:
    """Return (name, first byte, size) of the member whose local header is at `position`, sizes checked."""
    start = position + _LOCAL.size
    if start > len(archive):
        raise _cut(archive)
    header = _LOCAL.unpack_from(archive, position)
    flags, method, stored, size, name_length, extra_length = *header[2:4], *header[7:]
    raw_name = archive[start : start + name_length]
    start += name_length + extra_length
    if start > len(archive):
        raise _cut(archive)
    name = raw_name.decode("ascii", errors="backslashreplace")
    if name not in LIMITS:
        raise RefusalError(f"a member named {name[:80]!r}", f"no members but {', '.join(LIMITS)}")
    if method != 0 or flags != 0 or stored != size:
        raise RefusalError(f"the member {name} compressed or encrypted", "stored members")
    if size > LIMITS[name]:
        raise RefusalError(f"the member {name} of {size} bytes", f"at most {LIMITS[name]} bytes")
    if start + size > len(archive):
        raise _cut(archive)
    return name, start, size


def _compare(archive: bytes, members: Mapping[str, bytes]) -> None:
    """Check that the archive is, byte for byte, what `pack` makes of its members."""
    position = 0
    for what, piece in pack(members):
        if not archive.startswith(piece, position):
            if piece.startswith(archive[position:]):
                raise _cut(archive)
            raise RefusalError(f"other bytes in its {what}, near byte {position}", "the bytes that were written")
        position += len(piece)
    if position < len(archive):
        raise RefusalError(f"{len(archive) - position} bytes behind its end", "nothing behind the bundle")


def _cut(archive: bytes) -> RefusalError:
    return RefusalError(f"a file that is cut off after {len(archive)} bytes", "a whole bundle")
