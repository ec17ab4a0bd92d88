"""Which sound files of a folder are new and complete, and which were heard before a restart."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import Annotated, Final, Literal

from pydantic import Field

from asd_edge.atomic import atomic_write
from asd_edge.strict import RefusalError, Strict, parse_versioned
from asd_edge.words import counted

_log = logging.getLogger(__name__)

FORMAT: Final = "asd-edge-folder"
VERSION: Final = 1
_SUFFIXES = (".wav", ".flac")
_SETTLED_S = 5.0  # recorders write more often than that, even through a buffer of 64 KiB
_SAME_TICK_S = 2.0  # a folder's time has steps, of 4 ms to 2 s: two changes may leave the same one
_SCAN_EVERY_S = 60.0  # a server's folder may not tell that it has changed


@dataclass(frozen=True, slots=True, order=True)
class FoundFile:
    """A sound file as it was last looked at; files are heard in this order."""

    modified_ns: int
    name: str
    size: int


class Bookmark(Strict):
    """Up to where a folder has been heard: all files that were modified before this one, and it itself."""

    format: Literal["asd-edge-folder"] = FORMAT
    version: Literal[1] = VERSION
    folder: str
    modified_ns: Annotated[int, Field(ge=0)]
    name: str


@dataclass(slots=True)
class _Candidate:
    file: FoundFile
    since: float  # it has not changed
    old: bool  # it was heard in an earlier run, or was there before the first


class WatchedFolder:
    """Finds the files that come into a folder, each once, when they have not changed for five seconds.

    What is there at the very first look is old. Later runs go on after the bookmark: what came while nobody listened
    is new, and what the bookmark covers is old. A file that changes is new in any case. Names that begin with a dot
    belong to a transfer that goes on.

    The bookmark never lies ahead of our clock, or a single file with a date of the future would make old whatever comes
    until then. Such a file may be heard again after a restart.

    Args:
        folder: where the files come.
        bookmark: file that remembers over restarts what was heard; None to remember nothing.
    """

    def __init__(self, folder: Path, bookmark: Path | None) -> None:
        self._folder = folder
        self._bookmark_path = bookmark
        self._bookmark: tuple[int, str] | None = None
        self._seen: set[str] = set()
        self._candidates: dict[str, _Candidate] = {}
        self._stamp = -1
        self._changed = self._scanned = 0.0
        self._looked_ns = 0  # UTC

    def look(self, now: float) -> list[FoundFile]:
        """Return the files that are complete since the last look, the oldest first.

        Args:
            now: seconds of the monotonic clock.

        Raises:
            OSError: the folder cannot be read.
        """
        self._looked_ns = time_ns()
        if self._nothing_new(now):
            return []
        first, self._scanned = self._bookmark is None, now
        names = set(_sound_files(self._folder))
        self._seen &= names
        self._candidates = {name: found for name, found in self._candidates.items() if name in names}
        found = {file.name: file for name in names - self._seen if (file := _look_at(self._folder, name)) is not None}
        if first:
            self._bookmark = self._load()
        begins = self._bookmark is None
        if begins:
            self._begin(list(found.values()))
        for name, file in found.items():
            before = self._candidates.get(name)
            if before is None or before.file != file:
                self._candidates[name] = _Candidate(file, now, begins or (first and self._is_old(file)))
        return sorted(self._settled(now))

    def heard(self, file: FoundFile) -> None:
        """Remember that a file was heard, or could not be used."""
        found_until = (self._looked_ns - int(_SETTLED_S * 1e9), "")  # what was written later may not be complete
        ahead = self._bookmark is not None and self._bookmark > found_until
        if ahead:
            self._say_ahead("files may be heard twice after a restart")
        if ahead or not self._is_old(file):
            self._write(min((file.modified_ns, file.name), found_until))

    def _nothing_new(self, now: float) -> bool:
        """Say so by one stat(): the folder may hold thousands of files."""
        stamp = self._folder.stat().st_mtime_ns
        if stamp != self._stamp:
            self._stamp, self._changed = stamp, now
        quiet = now - self._changed > _SAME_TICK_S and now - self._scanned < _SCAN_EVERY_S
        return quiet and not self._candidates and self._bookmark is not None

    def _settled(self, now: float) -> Iterator[FoundFile]:
        for name, candidate in list(self._candidates.items()):
            if now - candidate.since >= _SETTLED_S:
                del self._candidates[name]
                self._seen.add(name)
                if not candidate.old:
                    yield candidate.file

    def _is_old(self, file: FoundFile) -> bool:
        return self._bookmark is not None and (file.modified_ns, file.name) <= self._bookmark

    def _begin(self, found: list[FoundFile]) -> None:
        if found:
            words = "%s in %s %s there already and not heard; copy or touch what is to be heard"
            _log.warning(words, counted(len(found), "file"), self._folder, "is" if len(found) == 1 else "are")
        newest = max(found, default=FoundFile(0, "", 0))
        self._write(min((newest.modified_ns, newest.name), (self._looked_ns, "")))

    def _load(self) -> tuple[int, str] | None:
        if self._bookmark_path is None:
            return None
        try:
            read = parse_versioned(self._bookmark_path.read_bytes(), Bookmark, format=FORMAT, version=VERSION)
        except FileNotFoundError:
            return None
        except (OSError, RefusalError) as error:
            _log.error(
                "The bookmark %s cannot be used (%s): what is in %s by now is not heard",
                self._bookmark_path,
                error,
                self._folder,
            )
            return None
        if read.folder != str(self._folder.absolute()):
            return None
        bookmark = read.modified_ns, read.name
        now = (self._looked_ns, "")
        if bookmark > now:
            self._say_ahead("files that came while nobody listened are not heard")
        return min(bookmark, now)

    def _say_ahead(self, consequence: str) -> None:
        path = self._bookmark_path or "(none)"
        _log.error("The clock was set back behind the bookmark %s of %s: %s", path, self._folder, consequence)

    def _write(self, bookmark: tuple[int, str]) -> None:
        self._bookmark = bookmark
        if self._bookmark_path is None:
            return
        document = Bookmark(folder=str(self._folder.absolute()), modified_ns=bookmark[0], name=bookmark[1])
        try:
            self._bookmark_path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._bookmark_path) as file:
                file.write(json.dumps(document.model_dump()).encode() + b"\n")
        except OSError as error:
            _log.error("The bookmark %s cannot be written: %s", self._bookmark_path, error)


def _sound_files(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.lower().endswith(_SUFFIXES) and not entry.name.startswith("."):
                yield entry.name


def _look_at(folder: Path, name: str) -> FoundFile | None:
    """Return None for a file that has just gone, or is none."""
    try:
        status = (folder / name).stat()
    except OSError:
        return None
    return FoundFile(max(0, status.st_mtime_ns), name, status.st_size) if stat.S_ISREG(status.st_mode) else None
