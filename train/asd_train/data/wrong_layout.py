"""What to say about a folder that no reader knows: what is in it, and which layout comes nearest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asd_edge.errors import DataError

from .layout import SUFFIXES, visible
from .machine import LAYOUTS, SPLIT_FOLDERS
from .plain import ANOMALOUS, NORMAL

_SHOWN = 6
_LOOKED_AT = 200  # files; what follows in a large data set looks the same


def wrong_layout(root: Path) -> DataError:
    """Return the error for a folder given with --data in which no data set was found."""
    examples = "\n            ".join(f"{layout.title}: {layout.examples[0]}" for layout in LAYOUTS)
    return DataError(
        f"{root} is not a data set in a layout that is known",
        found=_found(root),
        expected=f"a folder for each machine, as in one of\n            {examples}\n"
        f"            or MACHINE/SECTION=DIR with DIR/{NORMAL}/ and DIR/{ANOMALOUS[0]}/",
        remedy=_remedy(root),
    )


def _found(root: Path) -> str:
    if not root.is_dir():
        return "no such folder"
    inside = [path.name + "/" * path.is_dir() for path in visible(root)]
    if not inside:
        return "an empty folder"
    clip = next(_clips(root), None)
    shown = ", ".join(inside[:_SHOWN]) + ", ..." * (len(inside) > _SHOWN)
    return f"{shown}; the first clip is {clip.relative_to(root)}" if clip else f"{shown}; no clips"


def _remedy(root: Path) -> str:
    """Say what to do for the nearest layout."""
    clip = next(_clips(root), None) if root.is_dir() else None
    if clip is None:
        return "Point --data at the folder that holds one folder a machine, or make one: asd-train simulate DIR"
    if any((root / folder).is_dir() for folder in SPLIT_FOLDERS):
        return f"This looks like one machine's folder: point --data at the folder around it ({root.absolute().parent})."
    labels = [parent for parent in clip.parents if parent.name in (NORMAL, *ANOMALOUS) and parent != root]
    if labels:
        return f"This looks like a plain folder of a machine: --data fan/00={labels[0].parent}, with a name of yours."
    for layout in LAYOUTS:
        for folder, split in layout.folders.items():
            if layout.parse(clip.stem, folder):
                place = f"{clip.parent.name if clip.parent != root else 'fan'}/{folder}/{clip.name}"
                return f"The names are those of {layout.title}, the folders are not: move the {split} clips to {place}"
    return "Sort the clips into normal/ and anomalous/ and give them as --data MACHINE/SECTION=DIR, like fan/00=DIR."


def _clips(root: Path) -> Iterator[Path]:
    """Yield clips, those near the top and early in the alphabet first, from a look that ends soon."""
    folders, looked = [root], 0
    while folders and looked < _LOOKED_AT:
        inside = visible(folders.pop(0))
        looked += len(inside)
        yield from (path for path in inside if path.suffix.lower() in SUFFIXES and path.is_file())
        folders += [path for path in inside if path.is_dir()]
