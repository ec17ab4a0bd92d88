"""One clip on the disk, as it is read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from asd_edge.errors import StateError
from asd_edge.evidence.held import held
from asd_edge.evidence.manifest import FORMAT, MANIFEST, SIZE_LIMIT, VERSION, ClipManifest
from asd_edge.strict import RefusalError, parse_versioned


@dataclass(frozen=True)
class StoredClip:
    """A clip on the disk.

    `size`: bytes of its files. `changed`: UTC seconds. `manifest` is None where `fault` says why it cannot be read.
    """

    path: Path
    size: int
    changed: float
    manifest: ClipManifest | None
    fault: str | None = None

    @property
    def id(self) -> str:
        """Its name: the time of the alarm, and some letters."""
        return self.path.name

    @property
    def machine(self) -> str:
        """The machine whose sound it is."""
        return self.path.parent.name

    def read(self, name: str) -> bytes:
        """Return one of its files, held to the manifest.

        Raises:
            StateError: the clip or the file cannot be read, or is not what was written.
        """
        member = None if self.manifest is None else self.manifest.files.get(name)
        if member is None:
            raise unusable(self.path, self.fault or f"no {name}", "a whole clip")
        try:
            with held_above(self.path) as above, held(above / self.id) as folder:
                data = _read(folder / name, limit=member.size)
        except OSError as error:
            raise unusable(self.path / name, error.strerror or str(error), "a file that this user may read") from error
        except RefusalError as refusal:
            raise unusable(self.path / name, refusal.found, refusal.expected) from None
        if hashlib.sha256(data).hexdigest() != member.sha256:
            raise unusable(self.path / name, "another content than was written", f"sha256 {member.sha256[:12]}…")
        return data


@contextmanager
def held_above(path: Path) -> Iterator[Path]:
    """Hold the folder that a clip lies in: its machine's.

    Raises:
        OSError: it is gone, or a link is in its place.
    """
    with held(path.parent.parent) as evidence, held(evidence / path.parent.name) as above:
        yield above


def read_stored(path: Path, folder: Path) -> StoredClip | None:
    """Return the clip at `path`, whose folder is held as `folder`; None when it has gone meanwhile."""
    changed, size = folder.stat().st_mtime, _size(folder)
    try:
        manifest = parse_versioned(
            _read(folder / MANIFEST, limit=SIZE_LIMIT), ClipManifest, format=FORMAT, version=VERSION
        )
        if (manifest.machine, manifest.id) != (path.parent.name, path.name):
            raise RefusalError(f"the manifest of {manifest.machine}/{manifest.id}", "its own")
    except OSError as error:
        return StoredClip(path, size, changed, None, error.strerror or str(error)) if path.exists() else None
    except RefusalError as refusal:
        return StoredClip(path, size, changed, None, refusal.found)
    return StoredClip(path, size, changed, manifest)


def _size(folder: Path) -> int:
    size = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # the half of a new manifest, which has become the whole one
                size += entry.stat(follow_symlinks=False).st_size
    return size


def _read(path: Path, *, limit: int) -> bytes:
    """Read a file of the service's user, who may have put a link in its place: root does not follow it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise RefusalError(f"more than {limit} bytes", f"at most {limit} bytes")
    return data


def unusable(path: Path, found: str, expected: str, remedy: str | None = None) -> StateError:
    """Return the error of a clip that cannot be used."""
    return StateError(
        f"Cannot use the clip {path}",
        found=found,
        expected=expected,
        remedy=remedy or "Make room, correct the owner of device.state_dir, or delete it: asd-edge clips remove.",
    )
