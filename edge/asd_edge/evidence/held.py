"""Folders of the service's user in which root works too: no link that he puts there leads root out of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """Open a folder; give a path that leads to this very folder, whatever is put in its place meanwhile.

    Raises:
        OSError: it is missing, no folder, or a link.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")  # proc(5): resolved by the descriptor, not by a name
    finally:
        os.close(descriptor)


def held_within(above: Path) -> Iterator[tuple[str, Path]]:
    """Yield the folders in a folder, sorted by name, each held until the next. What is hidden or vanishes is none."""
    with os.scandir(above) as entries:
        names = sorted(
            entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        )
    for name in names:
        try:
            with held(above / name) as folder:
                yield name, folder
        except FileNotFoundError:
            continue
