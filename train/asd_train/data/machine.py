"""One machine's folder in a DCASE Task 2 data set: which layout it has, and its clips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asd_edge.errors import DataError

from . import dcase2020, dcase2021, dcase2022
from .attributes import read_attributes
from .clip import Clip, Split
from .layout import SUFFIXES, Layout, Named, clips_in, visible
from .tables import stem_of

LAYOUTS = (dcase2022.LAYOUT, dcase2021.LAYOUT, dcase2020.LAYOUT)
SPLIT_FOLDERS = tuple(dict.fromkeys(folder for layout in LAYOUTS for folder in layout.folders))
_DEEPEST = 4  # <data set>/dcase2023t2/dev_data/raw/<machine>, as the organisers' baseline keeps them


def machine_folders(root: Path, depth: int = _DEEPEST) -> Iterator[Path]:
    """Yield the folders that have `train/`, `test/` or the like, sorted, from `root` itself to four folders below."""
    if any((root / folder).is_dir() for folder in SPLIT_FOLDERS):
        yield root
    elif depth:
        for folder in visible(root):
            if folder.is_dir():
                yield from machine_folders(folder, depth - 1)


def read_machine(folder: Path, machine: str) -> list[Clip]:
    """Read the clips of a machine's folder, split by split and sorted by name.

    Raises:
        DataError: a file among the clips whose name the layout does not know, or that contradicts its folder.
    """
    layout = _layout_of(folder)
    attributes = read_attributes(folder)
    clips = []
    for name, split in layout.folders.items():
        stems: set[str] = set()
        for path in _files_in(folder / name):
            named = layout.parse(path.stem, name) if path.suffix.lower() in SUFFIXES else None
            if named is None or not _fits(named, split) or path.stem in stems:
                raise _wrong_name(path, layout, twice=path.stem in stems)
            stems.add(path.stem)
            clips.append(
                Clip(
                    path=path,
                    machine=machine,
                    section=named.section,
                    domain=named.domain,
                    split=split,
                    anomalous=named.anomalous,
                    attributes=named.attributes or attributes.get(stem_of(path.name), ""),
                    role=named.role,
                )
            )
    return clips


def _layout_of(folder: Path) -> Layout:
    """Recognise the layout: 2021 by its folders, 2020 by a name; later years differ in nothing a reader must know."""
    if any((folder / name).is_dir() for name in ("source_test", "target_test")):
        return dcase2021.LAYOUT
    first = next((path for name in ("train", "test") for path in clips_in(folder / name)), None)
    if first is not None and dcase2020.parse(first.stem, first.parent.name):
        return dcase2020.LAYOUT
    return dcase2022.LAYOUT


def _files_in(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.is_file()] if folder.is_dir() else []


def _fits(named: Named, split: Split) -> bool:
    """Return whether a name does not contradict its split; only a test clip may hide its label and domain."""
    hidden = named.anomalous is None or named.domain == "unknown"
    return named.split in (None, split) and not (split == "train" and hidden)


def _wrong_name(path: Path, layout: Layout, *, twice: bool) -> DataError:
    return DataError(
        f"A clip in {path.parent} is there twice"
        if twice
        else f"A clip in {path.parent} has a name that cannot be read",
        found=f"{path.name}, and beside it the same with another suffix" if twice else path.name,
        expected=f"names of {layout.title}, like {' or '.join(layout.examples)}; the suffixes {', '.join(SUFFIXES)}",
        remedy="Rename the clip or move it out of the data set.",
    )
