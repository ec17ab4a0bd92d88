"""What the layouts of the DCASE Task 2 data sets have in common: folders of a machine, and names that say things."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .clip import Domain, Role, Split
from .features_file import SUFFIX

SUFFIXES = (".wav", ".flac", SUFFIX)
"""Of a clip's file, in any case."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a file name says. `split` is None where it says nothing of it."""

    section: str
    split: Split | None
    domain: Domain
    anomalous: bool | None
    attributes: str
    role: Role = "mixture"


@dataclass(frozen=True)
class Layout:
    """One way the organisers lay out a machine's clips.

    `folders`: sub-folders of a machine and the split in each. `examples`: paths below the data set, for messages.
    `parse`: reads a file name without its suffix, given the folder it lies in; None if it is not of this layout.
    """

    title: str
    examples: tuple[str, ...]
    folders: Mapping[str, Split]
    parse: Callable[[str, str], Named | None]


def clips_in(folder: Path) -> list[Path]:
    """Return the clips' files in a folder, sorted; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in visible(folder) if path.suffix.lower() in SUFFIXES and path.is_file())


def visible(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted, without hidden files (`.DS_Store`, `._clip.wav`)."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def anomalous_of(label: str | None) -> bool | None:
    """Return whether the word in a file name means an anomaly; None without one."""
    return None if label is None else label == "anomaly"


def domain_of(word: str | None) -> Domain:
    """Return the domain a file name says, "unknown" without one."""
    match word:
        case "source" | "target":
            return word
        case _:
            return "unknown"


def split_of(word: str | None) -> Split | None:
    """Return the split a file name says, None without one."""
    match word:
        case "train" | "test":
            return word
        case _:
            return None
