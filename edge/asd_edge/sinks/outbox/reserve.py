"""Disk space that is held back: on a full disk even deleting needs some."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_BYTES = 4 << 20
_ROOM = 2  # times as much must be free before it is taken again


class Reserve:
    """A file of 4 MiB that is given up when the disk is full, and taken back when there is room."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> bool:
        """Hold the space if there is plenty; return whether it is held. A disk that does not let us is no error."""
        with suppress(OSError):
            if self._path.exists() and self._path.stat().st_size == _BYTES:
                return True
            room = os.statvfs(self._path.parent)
            if room.f_bavail * room.f_frsize < _ROOM * _BYTES:
                return False
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _BYTES)
            finally:
                os.close(descriptor)
            return True
        return False

    def release(self) -> None:
        """Let go of the space."""
        with suppress(OSError):
            self._path.unlink()
