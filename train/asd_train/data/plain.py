"""Reader of plain folders: a few clips of one machine in its target domain, named as people name them."""

from __future__ import annotations

from pathlib import Path

from asd_edge.errors import DataError

from .clip import Clip

UNIT_PATTERN = r"[A-Za-z0-9_-]{1,64}/\d\d"
"""A machine and section, for example `fan/00`."""

_SUFFIXES = (".wav", ".flac")


def read_target_clips(root: Path, machine: str, section: str) -> list[Clip]:
    """Read the clips of a folder as target-domain training normals, sorted by path.

    The folder is one class; or each of its sub-folders is one, and their names are the attributes.

    Raises:
        DataError: no such folder, no clip in it, or clips beside sub-folders with clips.
    """
    if not root.is_dir():
        raise _wrong(root, "no such folder")
    beside = _clips_in(root)
    classes = {folder.name: _clips_in(folder) for folder in sorted(root.iterdir()) if folder.is_dir()}
    inside = {name: paths for name, paths in classes.items() if paths}
    if beside and inside:
        raise _wrong(root, f"{len(beside)} clips beside sub-folders with clips ({', '.join(inside)})")
    if not beside and not inside:
        raise _wrong(root, "no clips")
    return [
        Clip(path, machine, section, domain="target", split="train", anomalous=False, attributes=attributes)
        for attributes, paths in (inside or {"": beside}).items()
        for path in paths
    ]


def _clips_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())


def _wrong(root: Path, found: str) -> DataError:
    return DataError(
        f"{root} is not a folder of target clips",
        found=found,
        expected=f"files ending in {' or '.join(_SUFFIXES)}: in the folder itself if they are one class, or in a "
        "sub-folder for each class",
        remedy="Put normal sound of the machine there, a few clips of about ten seconds for each condition.",
    )
