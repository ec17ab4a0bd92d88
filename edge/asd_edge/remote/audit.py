"""The audit file: one JSON object a line for every request, on the disk before anything is done about it."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import SerializeAsAny

from asd_edge.atomic import sync_directory
from asd_edge.errors import StateError
from asd_edge.remote.command import Command
from asd_edge.remote.reasons import Reason, Verdict
from asd_edge.strict import Sha256, Strict, UtcTime

SIZE_LIMIT = 4 << 20
"""Bytes of the file; then it becomes FILE.1, in place of the one before."""


class AuditEntry(Strict):
    """One line. A command that is let through has two: `accepted` before it runs, `done` or `failed` afterwards.

    `time` is the device's wall clock, which may be wrong; `monotonic_s` is not. `key` is the name of the key whose
    signature was verified. `unanswered`: requests of a flood before this one, which have no line of their own.
    """

    time: UtcTime
    monotonic_s: float
    request: Sha256
    verdict: Verdict
    reason: Reason | None = None
    key: str | None = None
    command: SerializeAsAny[Command] | None = None
    detail: str | None = None
    unanswered: int = 0


class Audit:
    """Appends entries to a file of bounded size that nobody but its owner can read."""

    def __init__(self, path: Path, *, limit: int = SIZE_LIMIT) -> None:
        self._path = path
        self._limit = limit

    def write(self, entry: AuditEntry) -> None:
        """Append an entry; it is on the disk when this returns.

        Raises:
            StateError: it cannot be written; the file is as it was.
        """
        line = entry.model_dump_json().encode() + b"\n"
        try:
            if self._path.exists() and self._path.stat().st_size + len(line) > self._limit:
                os.replace(self._path, self._path.with_name(f"{self._path.name}.1"))
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                _append(descriptor, line)
            finally:
                os.close(descriptor)
            sync_directory(self._path.parent)
        except OSError as error:
            raise StateError(
                f"The audit file {self._path} cannot be written",
                found=error.strerror or str(error),
                expected="room on the disk, and a folder that the daemon may write to",
                remedy="Make room or correct the folder's owner; commands are refused until then.",
            ) from error


def _append(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a power cut tore the last line: begin a new one
        line = b"\n" + line
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError("there is no room for the whole line")
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
