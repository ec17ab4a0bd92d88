"""A lock that one process at a time holds on a file, and that others can ask about without touching it.

Open file description locks (fcntl(2), Linux 3.15): unlike flock they can be queried without being taken, and unlike
classic POSIX locks another descriptor of the same process neither shares nor drops them. A lock ends with its holder,
however that ends.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asd_edge.atomic import own_like

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid

_AS_IT_IS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # no link is followed, no FIFO waited for


def _whole_file(kind: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)


@contextmanager
def locked(path: Path, holder: str, *, like: Path) -> Iterator[int]:
    """Hold the lock on `path`, made if need be, with the text `holder` in it; yield the file's descriptor.

    When root makes it, it gets the owner of `like`, who must be able to lock it too. That owner may have put something
    else in its place: a link is not followed.

    Raises:
        BlockingIOError: somebody else holds it.
        OSError: the file cannot be made or written, or is a link.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _AS_IT_IS, 0o644)
    try:
        own_like(descriptor, like)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)  # which ends the lock


def holder_of(path: Path) -> str | None:
    """Return what the holder of the lock on `path` wrote into it; None when nobody holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _AS_IT_IS)
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
        if _FLOCK.unpack(answer)[0] == fcntl.F_UNLCK:
            return None
        return os.pread(descriptor, 200, 0).decode("utf-8", errors="replace") or "another process"
    finally:
        os.close(descriptor)
