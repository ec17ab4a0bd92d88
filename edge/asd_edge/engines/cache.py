"""Engines kept on the disk: one file each, and beside it what it was built from.

An engine is code for the GPU: a file is loaded only when its header says exactly what is asked for, its SHA-256 is the
header's, and both belong to this user or root and nobody else may write them. Anything else is as good as absent, and
is built again. What root builds in the service's folder stays root's: both may load it, while root loads nothing that
the service could have written.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from asd_edge.atomic import atomic_write, make_folder
from asd_edge.engines.embedder import Precision
from asd_edge.engines.tensorrt_module import Flavour
from asd_edge.errors import StateError
from asd_edge.strict import Count, RefusalError, Sha256, Strict, Text, UtcTime, parse_versioned, utc_time

FORMAT: Final = "asd-edge-engine"
VERSION: Final = 1
LIMIT_MIB: Final = 512
"""Of all engines together [ours]: a bundle's three precisions take some 40 MiB."""

_LARGEST_HEADER = 16_384

_log = logging.getLogger(__name__)


class EngineKey(Strict):
    """All that decides whether an engine is the one that is asked for.

    `gpu` and `compute_capability` are None where it was built ahead of time for all GPUs that its builder knows.
    """

    graph_sha256: Sha256
    precision: Precision
    flavour: Flavour
    version: Text
    gpu: Text | None
    compute_capability: Text | None
    flags: tuple[Text, ...]
    batch: Count
    frames: Count
    workspace_mib: Count

    @property
    def stem(self) -> str:
        """Name of its files."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32]


class EngineHeader(Strict):
    """What lies beside an engine."""

    format: Literal["asd-edge-engine"] = FORMAT
    version: Literal[1] = VERSION
    key: EngineKey
    member: Text = Field(description="Which of a bundle's graphs it was built from; for people.")
    sha256: Sha256
    size: Annotated[int, Field(ge=1)]
    built_utc: UtcTime
    build_s: Annotated[float, Field(ge=0.0)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One engine on the disk. `header` is None, and `problem` says why, where the folder's owner cannot load it.

    `owner`: user id of the file, who can load it, and with root's everybody.
    """

    path: Path
    size: int
    owner: int
    header: EngineHeader | None
    problem: str | None = None


class EngineCache:
    """The engines in a folder.

    Args:
        folder: made when the first is stored.
        limit_mib: of all together; the oldest go first.
    """

    def __init__(self, folder: Path, limit_mib: int = LIMIT_MIB) -> None:
        self.folder = folder
        self._limit = limit_mib << 20

    def load(self, key: EngineKey) -> bytes | None:
        """Return the engine of this key; None, with the reason in the log, where it must be built."""
        path, users = self._path(key), {0, os.geteuid()}
        try:
            header = _header(path, users)
            if header.key != key:
                raise RefusalError("an engine of another key", "the key that its name stands for")
            engine = _read(path, header.size, users)
            if hashlib.sha256(engine).hexdigest() != header.sha256:
                raise RefusalError("an engine with another SHA-256", "that of its header")
        except FileNotFoundError:
            return None
        except (OSError, RefusalError) as reason:
            _log.warning("The engine %s is built again: %s", path, _said(reason))
            return None
        return engine

    def store(self, key: EngineKey, engine: bytes, *, member: str, build_s: float) -> Path:
        """Keep an engine, and drop the oldest above the limit.

        Raises:
            StateError: the folder cannot be written.
        """
        path = self._path(key)
        header = EngineHeader(
            key=key,
            member=member,
            sha256=hashlib.sha256(engine).hexdigest(),
            size=len(engine),
            built_utc=utc_time(),
            build_s=round(build_s, 3),
        )
        try:
            if not self.folder.exists():
                make_folder(self.folder, self.folder.parent)
            with atomic_write(path) as stream:
                stream.write(engine)
            with atomic_write(path.with_suffix(".json")) as stream:  # last: without it there is none
                stream.write(header.model_dump_json(indent=2).encode() + b"\n")
            self._shrink(keep=path)
        except OSError as error:
            raise StateError(
                f"Cannot keep engines in {self.folder}",
                found=error.strerror or str(error),
                expected="a folder that this user can write, with room on its disk",
                remedy="Correct its permissions, or name another folder.",
            ) from error
        return path

    def entries(self) -> list[Entry]:
        """Return all engines, the oldest first, also those that would not be loaded, with the reason."""
        return sorted(self._entries(), key=lambda entry: entry.header.built_utc if entry.header else "")

    def clean(self) -> list[Entry]:
        """Remove all engines; return what was there.

        Raises:
            StateError: a file cannot be removed.
        """
        entries = self.entries()
        try:
            for entry in entries:
                _remove(entry.path)
            for left in self.folder.glob(".*.tmp"):  # of a process that was killed
                left.unlink(missing_ok=True)
        except OSError as error:
            raise StateError(
                f"Cannot remove engines from {self.folder}",
                found=error.strerror or str(error),
                expected="a folder that this user can write",
                remedy="Do it as the user that the daemon runs as, or as root.",
            ) from error
        return entries

    def _path(self, key: EngineKey) -> Path:
        return self.folder / f"{key.stem}.engine"

    def _entries(self) -> Iterator[Entry]:
        for path in self.folder.glob("*.engine"):
            try:
                users = {0, os.geteuid(), self.folder.stat().st_uid}
                status = path.lstat()
            except FileNotFoundError:  # another process has just removed it
                continue
            size, owner = status.st_size, status.st_uid
            try:
                header = _header(path, users)
                if hashlib.sha256(_read(path, header.size, users)).hexdigest() != header.sha256:
                    raise RefusalError("an engine with another SHA-256", "that of its header")
                yield Entry(path, size, owner, header)
            except (OSError, RefusalError) as reason:
                yield Entry(path, size, owner, None, _said(reason))

    def _shrink(self, *, keep: Path) -> None:
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= self._limit:
                return
            if entry.path != keep:
                _remove(entry.path)
                total -= entry.size


def _header(path: Path, users: Collection[int]) -> EngineHeader:
    data = _read(path.with_suffix(".json"), _LARGEST_HEADER, users)
    return parse_versioned(data, EngineHeader, format=FORMAT, version=VERSION)


def _read(path: Path, limit: int, users: Collection[int]) -> bytes:
    """Read a file that only these users can have written.

    Raises:
        OSError: it cannot be read, or is a link.
        RefusalError: it is no regular file, or in the hands of somebody else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)  # of what was opened: nobody can exchange it any more
        if not stat.S_ISREG(status.st_mode):
            raise RefusalError(f"{path.name}, which is no file", "a file")
        if status.st_uid not in users or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise RefusalError(
                f"{path.name} of user {status.st_uid} with mode {stat.S_IMODE(status.st_mode):o}",
                "a file of this user or root that nobody else can write",
            )
        return stream.read(limit + 1)  # one more than is due is another SHA-256, or no JSON


def _remove(path: Path) -> None:
    path.with_suffix(".json").unlink(missing_ok=True)  # first: an engine without a header is none
    path.unlink(missing_ok=True)


def _said(reason: OSError | RefusalError) -> str:
    return reason.found if isinstance(reason, RefusalError) else reason.strerror or str(reason)
