"""Reader of data sets: those of DCASE Task 2 of all years, and plain folders of one machine.

The year is recognised from folders and names (`machine`); plain folders are told by the machine in front of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from asd_edge.errors import DataError
from asd_edge.strict import NAME_PATTERN

from .clip import Clip
from .ground_truth import labelled, read_ground_truth
from .machine import machine_folders, read_machine
from .plain import UNIT_PATTERN, is_labelled, read_labelled_clips, read_target_clips
from .wrong_layout import wrong_layout

Group = tuple[Path, list[Clip]]
"""A folder and the clips in it that belong together."""


def read_datasets(datasets: Sequence[str], *, ground_truth: Sequence[Path] = ()) -> list[Clip]:
    """Read several data sets as one.

    The development, additional training and evaluation set of a year may lie in one folder or be given one by one:
    what they hold of a machine is put together.

    Args:
        datasets: folders, each `DIR` or `PREFIX=DIR`; the prefix goes before the machine names, so that the `fan`
            of one data set and the `fan` of another stay apart. `MACHINE/SECTION=DIR` is a plain folder of that
            machine: normal and anomalous clips, or target clips of a machine that another data set has.
        ground_truth: folders or files of the organisers' evaluators, for test clips whose names hide the label.

    Raises:
        DataError: a folder is missing, has another layout or a machine whose name a device cannot use; two folders
            hold the same split of the same machine and section; or a ground truth that is of none of the clips.
    """
    truths = read_ground_truth(ground_truth)
    groups: list[Group] = []
    target: list[Clip] = []
    for dataset in datasets:
        prefix, folder = parse_dataset(dataset)
        if "/" not in prefix:
            groups += _read_groups(folder, prefix and f"{prefix}-")
        elif is_labelled(folder):
            groups.append((folder, read_labelled_clips(folder, *prefix.split("/"))))
        else:
            target += read_target_clips(folder, *prefix.split("/"))
    clips = _together(groups)
    if not ground_truth:
        return [*clips, *target]
    known = [labelled(clip, folder.name, truths) for folder, members in groups for clip in members]
    if known == clips:
        raise DataError(
            "The ground truth is not of these data sets",
            found=", ".join(str(path) for path in ground_truth),
            expected="the label of at least one test clip whose name hides it",
            remedy="Give the ground truth of the same year, and the folder of the evaluation set with --data.",
        )
    return [*known, *target]


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
    """Read every clip of the DCASE data sets below `root`, machine by machine and sorted.

    Raises:
        DataError: `root` is not a folder, holds no clip in a layout of DCASE Task 2, holds the same split of a
            machine twice, or a machine whose name a device cannot use.
    """
    return _together(_read_groups(root, prefix))


def _read_groups(root: Path, prefix: str) -> list[Group]:
    if not root.is_dir():
        raise wrong_layout(root)
    folders = list(machine_folders(root))
    groups = [] if root in folders else [(folder, read_machine(folder, prefix + folder.name)) for folder in folders]
    if not any(clips for _, clips in groups):
        raise wrong_layout(root)
    for folder, _ in groups:
        if not re.fullmatch(NAME_PATTERN, prefix + folder.name):
            raise DataError(
                f"A machine in {root} has a name that no device can use",
                found=repr(prefix + folder.name),
                expected="1 to 64 letters, digits, - and _, the prefix included",
                remedy="Rename its folder, or shorten the prefix.",
            )
    return groups


def _together(groups: Sequence[Group]) -> list[Clip]:
    """Put the folders of a machine together, unless one might not be meant: two that hold the same split."""
    owners: dict[tuple[str, str], Path] = {}
    keys: dict[str, Path] = {}
    for folder, clips in groups:
        for unit, split in dict.fromkeys((clip.unit, clip.split) for clip in clips):
            if (owner := owners.setdefault((unit, split), folder)) is not folder:
                raise DataError(
                    f"Two data sets hold the machine {unit}",
                    found=f"{split} clips of {unit} in {owner} and in {folder}",
                    expected="every machine, section and split in one data set",
                    remedy=f"Give one of them a --data of its own with a prefix: --data real={folder.parent}",
                )
        for clip in clips:
            if clip.split == "train" and keys.setdefault(clip.key, clip.path) != clip.path:
                raise DataError(
                    f"Two training clips of {clip.unit} have the same name",
                    found=f"{keys[clip.key]} and {clip.path}",
                    expected="different names: a run knows the clips it was trained on by them",
                    remedy="Rename one of them.",
                )
    return [clip for _, clips in groups for clip in clips]
