"""Reader of plain folders of one machine, with files named as people name them.

Two kinds: `normal/` and `anomalous/` clips to train and test with, and target clips, a few of a new condition.
"""

from __future__ import annotations

from pathlib import Path

from asd_edge.errors import DataError

from .clip import Clip
from .layout import SUFFIXES, clips_in, visible

UNIT_PATTERN = r"[A-Za-z0-9_-]{1,64}/\d\d"
"""A machine and section, for example `fan/00`."""

NORMAL = "normal"
ANOMALOUS = ("anomalous", "abnormal", "anomaly")
TEST_SHARE = 5
"""One in so many normal clips tests."""


def is_labelled(root: Path) -> bool:
    """Return whether a folder has sub-folders named for labels, and so is read by `read_labelled_clips`."""
    return any((root / name).is_dir() for name in (NORMAL, *ANOMALOUS))


def read_labelled_clips(root: Path, machine: str, section: str) -> list[Clip]:
    """Read `normal/` and, if there is one, `anomalous/` (or `abnormal/`, `anomaly/`), all of the source domain.

    The last fifth of the normal clips by name, rounded down, tests beside the anomalous ones; the others train. The
    last and not every fifth, for names mostly tell the order of recording, and neighbours sound alike. Either folder
    holds its clips itself, or in a sub-folder for each class (an operating condition, a kind of fault), whose names
    are the attributes; then the fifth is of each class.

    Raises:
        DataError: no normal clips, several folders of anomalous ones, clips beside sub-folders with clips, or clips
            beside the two folders.
    """
    anomalous = [name for name in ANOMALOUS if (root / name).is_dir()]
    stray = [path.name for path in (*clips_in(root), *_folders(root)) if path.name not in (NORMAL, *ANOMALOUS)]
    if stray or len(anomalous) > 1 or not (root / NORMAL).is_dir():
        raise _wrong_labelled(root, ", ".join(path.name for path in visible(root)[:6]))
    clips = []
    for attributes, paths in _classes(root / NORMAL).items():
        training = len(paths) - len(paths) // TEST_SHARE
        clips += [Clip(path, machine, section, "source", "train", False, attributes) for path in paths[:training]]
        clips += [Clip(path, machine, section, "source", "test", False, attributes) for path in paths[training:]]
    for name in anomalous:
        for attributes, paths in _classes(root / name).items():
            clips += [Clip(path, machine, section, "source", "test", True, attributes) for path in paths]
    return clips


def read_target_clips(root: Path, machine: str, section: str) -> list[Clip]:
    """Read the clips of a folder as target-domain training normals, sorted by path.

    The folder is one class; or each of its sub-folders is one, and their names are the attributes.

    Raises:
        DataError: no such folder, no clip in it, clips beside sub-folders with clips, or sub-folders named for labels.
    """
    if is_labelled(root):
        raise DataError(
            f"{root} is not a folder of target clips alone",
            found=f"sub-folders named for labels ({', '.join(folder.name for folder in _folders(root))})",
            expected="normal clips of a new condition, in sub-folders named for conditions if there are several",
            remedy=f"Give {root / NORMAL}, or the whole folder with --data {machine}/{section}={root}",
        )
    return [
        Clip(path, machine, section, domain="target", split="train", anomalous=False, attributes=attributes)
        for attributes, paths in _classes(root).items()
        for path in paths
    ]


def _classes(root: Path) -> dict[str, list[Path]]:
    """Return the clips of each class, sorted; of the class "" if they lie in the folder itself."""
    if not root.is_dir():
        raise _wrong(root, "no such folder")
    beside = clips_in(root)
    inside = {folder.name: paths for folder in _folders(root) if (paths := clips_in(folder))}
    if beside and inside:
        raise _wrong(root, f"{len(beside)} clips beside sub-folders with clips ({', '.join(inside)})")
    if not beside and not inside:
        raise _wrong(root, "no clips")
    return inside or {"": beside}


def _folders(root: Path) -> list[Path]:
    return [path for path in visible(root) if path.is_dir()]


def _wrong(root: Path, found: str) -> DataError:
    return DataError(
        f"{root} is not a folder of clips",
        found=found,
        expected=f"files ending in {', '.join(SUFFIXES)}: in the folder itself if they are one class, or in a "
        "sub-folder for each class",
        remedy="Put sound of the machine there, clips of about ten seconds, a few for each condition.",
    )


def _wrong_labelled(root: Path, found: str) -> DataError:
    return DataError(
        f"{root} is not a folder of normal and anomalous clips",
        found=found,
        expected=f"{NORMAL}/ and, if there are anomalies, one of {', '.join(f'{name}/' for name in ANOMALOUS)}, "
        "and nothing else that holds clips",
        remedy="Sort every clip into one of the two.",
    )
