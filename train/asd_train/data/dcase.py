"""Reader of the DCASE Task 2 layout of 2022 and later.

`<machine>/train|test/section_00_source_train_normal_0000_<attributes>.wav`
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from asd_edge.errors import DataError
from asd_edge.strict import NAME_PATTERN

from .clip import Clip
from .plain import UNIT_PATTERN, read_target_clips

_NAME = re.compile(
    r"section_(?P<section>\d\d)_(?P<domain>source|target)_(?P<split>train|test)_(?P<label>normal|anomaly)_\d+"
    r"(?:_(?P<attributes>.*?))?_?\.(?:wav|flac)"
)
_LAYOUT = "DIR/<machine>/train and DIR/<machine>/test with names like section_00_source_train_normal_0000_spd_1.wav"


def read_datasets(datasets: Sequence[str]) -> list[Clip]:
    """Read several data sets as one.

    Args:
        datasets: folders, each `DIR` or `PREFIX=DIR`; the prefix goes before the machine names, so that the `fan`
            of one data set and the `fan` of another stay apart. `MACHINE/SECTION=DIR` is a plain folder of target
            clips of that machine, which may have other clips in another data set.

    Raises:
        DataError: a folder is missing, has another layout or a machine whose name a device cannot use, or two
            folders in the DCASE layout hold the same machine and section.
    """
    clips: list[Clip] = []
    seen: dict[str, str] = {}
    for dataset in datasets:
        prefix, folder = parse_dataset(dataset)
        if "/" in prefix:
            clips += read_target_clips(folder, *prefix.split("/"))
            continue
        found = read_dataset(folder, prefix=prefix and f"{prefix}-")
        for unit in sorted({clip.unit for clip in found}):
            if unit in seen:
                raise DataError(
                    f"Two data sets hold the machine {unit}",
                    found=f"{unit} in {seen[unit]} and in {dataset}",
                    expected="every machine and section in one data set",
                    remedy=f"Give one of them a prefix: --data real={folder}",
                )
            seen[unit] = dataset
        clips += found
    return clips


def parse_dataset(dataset: str) -> tuple[str, Path]:
    """Return prefix (empty without one) and folder of `DIR`, `PREFIX=DIR` or `MACHINE/SECTION=DIR`.

    A folder's own name may have a "=".
    """
    prefix, equals, folder = dataset.partition("=")
    known = re.fullmatch(NAME_PATTERN, prefix) or re.fullmatch(UNIT_PATTERN, prefix)
    if equals and known and not Path(dataset).is_dir():
        return prefix, Path(folder)
    return "", Path(dataset)


def read_dataset(root: Path, *, prefix: str = "") -> list[Clip]:
    """Read every clip below `root`, sorted by path.

    Raises:
        DataError: `root` is not a folder, holds no clip in this layout, or a machine whose name a device cannot use.
    """
    if not root.is_dir():
        raise _wrong(root, "no such folder")
    clips = [
        clip
        for folder in sorted(path for path in root.iterdir() if path.is_dir())
        for clip in _read_machine(folder, prefix + folder.name)
    ]
    if not clips:
        inside = ", ".join(sorted(path.name for path in root.iterdir())[:6]) or "an empty folder"
        raise _wrong(root, inside)
    for machine in sorted({clip.machine for clip in clips}):
        if not re.fullmatch(NAME_PATTERN, machine):
            raise DataError(
                f"A machine in {root} has a name that no device can use",
                found=repr(machine),
                expected="1 to 64 letters, digits, - and _, the prefix included",
                remedy="Rename its folder, or shorten the prefix.",
            )
    return clips


def _read_machine(folder: Path, machine: str) -> Iterable[Clip]:
    for split in ("train", "test"):
        for path in sorted((folder / split).glob("*.*")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                raise DataError(
                    f"A clip in {folder / split} has a name that cannot be read",
                    found=path.name,
                    expected="section_00_source_train_normal_0000_<attributes>.wav",
                    remedy="Rename the clip or move it out of the data set.",
                )
            yield Clip(
                path=path,
                machine=machine,
                section=match["section"],
                domain="target" if match["domain"] == "target" else "source",
                split="train" if split == "train" else "test",
                anomalous=match["label"] == "anomaly",
                attributes=match["attributes"] or "",
            )


def _wrong(root: Path, found: str) -> DataError:
    return DataError(
        f"{root} is not a data set in the DCASE Task 2 layout",
        found=found,
        expected=_LAYOUT,
        remedy="Point --data at the folder that holds one folder a machine, or make one: asd-train simulate DIR",
    )
