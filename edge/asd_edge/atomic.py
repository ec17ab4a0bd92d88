"""Files that are either the old or the new one, never half of each."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(path: Path, *, mode: int = 0o644, like: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; rename it over `path` when the block ends without an error.

    The data and the directory entry are on the disk when this returns. On any error, Ctrl-C included,
    the temporary file is removed and `path` is untouched.

    Args:
        path: the file.
        mode: its permissions.
        like: a file or folder whose owner the file gets when root writes it; None for no such.

    Raises:
        OSError: the directory is missing, read-only or full.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fchmod(descriptor, mode)  # of what was opened: the name may be another's link by now
            if like is not None:
                own_like(descriptor, like)
            os.fsync(descriptor)
        os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def own_like(descriptor: int, like: Path) -> None:
    """Give what is open the owner of `like`, when root asks: what root writes must not lock the service's user out.

    Raises:
        OSError: a device, or a file with other names: whoever owns its folder would have root give that file away.
    """
    if os.geteuid() != 0:
        return
    found, owner = os.fstat(descriptor), like.stat()
    if not (stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)):
        raise OSError(errno.EPERM, "it is no folder and no file of one name, so root does not give it away")
    os.fchown(descriptor, owner.st_uid, owner.st_gid)


def write_private_folder(path: Path, files: Mapping[str, bytes], *, like: Path) -> None:
    """Write a folder of files that its owner alone may read, whole or not at all.

    All of it is on the disk when this returns. On any error, Ctrl-C included, nothing of it is left; what a kill -9
    leaves is a hidden folder `.….tmp` beside it.

    Args:
        path: the folder, which must not exist.
        files: content of each file, by name.
        like: a folder whose owner all of it gets when root writes it.

    Raises:
        OSError: the folder above is missing, read-only or full.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        for name, data in files.items():
            descriptor = os.open(temporary / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                own_like(descriptor, like)
                os.fsync(descriptor)
        _own_folder_like(temporary, like)
        sync_directory(temporary)
        os.rename(temporary, path)
        sync_directory(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_folder(path: Path) -> None:
    """Remove a folder and all in it. From its first step on it is not seen any more, whatever happens then.

    Raises:
        OSError: there is none, or the folder above is read-only.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    os.rename(path, temporary)
    shutil.rmtree(temporary)


def make_folder(folder: Path, like: Path, *, mode: int = 0o777) -> None:
    """Make a folder, if need be, with these permissions less the umask; root's gets the owner of `like`.

    Raises:
        OSError: it cannot be made, or is a link that root is asked to follow.
    """
    folder.mkdir(mode, parents=True, exist_ok=True)
    _own_folder_like(folder, like)


def _own_folder_like(folder: Path, like: Path) -> None:
    if os.geteuid() == 0:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            own_like(descriptor, like)
        finally:
            os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Bring a folder's entries onto the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
