"""The label sets of a training run, and which normals are kept out of it for calibration."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from asd_edge.errors import DataError

from .data.clip import Clip
from .recipe.training import Labels


@dataclass(frozen=True)
class TrainingSet:
    """`clips`: normals to learn from. `held_out`: source normals that only calibrate thresholds.

    `classes`: the joint classes of both, sorted.
    """

    clips: tuple[Clip, ...]
    held_out: tuple[Clip, ...]
    classes: tuple[str, ...]


def class_of(clip: Clip, labels: Labels = "joint") -> str:
    """Return the class a clip belongs to: all machines' classes form one label set."""
    return coarser(f"{clip.unit}/{clip.label}", labels)


def coarser(joint: str, labels: Labels) -> str:
    """Return the class that a joint class, `machine/section/domain/attributes`, is part of."""
    machine, section, _, attributes = joint.split("/", 3)
    match labels:
        case "machine":
            return machine
        case "section":
            return f"{machine}/{section}"
        case "attributes":
            return f"{machine}/{section}/{attributes}"
        case "joint":
            return joint


class LabelSet:
    """Numbers the classes of some clips.

    Args:
        clips: those to learn from.
        labels: what makes two clips one class.
    """

    def __init__(self, clips: Sequence[Clip], labels: Labels) -> None:
        names = [class_of(clip, labels) for clip in clips]
        self.names: tuple[str, ...] = tuple(sorted(set(names)))
        index = {name: i for i, name in enumerate(self.names)}
        self._classes = torch.tensor([index[name] for name in names])

    def __len__(self) -> int:
        return len(self.names)

    def targets(self, clips: NDArray[np.int64]) -> Tensor:
        """Return one-hot labels of some clips by their index, float32 [n, classes]."""
        return functional.one_hot(self._classes[torch.from_numpy(clips)], len(self)).float()


def training_set(
    clips: Sequence[Clip],
    *,
    held_out: float,
    seed: int,
    domains: Sequence[str] = ("source",),
) -> TrainingSet:
    """Split the training normals into learning and calibrating clips, class by class.

    Args:
        clips: all clips of all data sets.
        held_out: share of each source class's clips that only calibrate; a class of fewer than four clips keeps them
            all. Target clips are few and all learned from.
        seed: of the split.
        domains: whose normals are learned from.

    Raises:
        DataError: there are none.
    """
    by_class: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.split == "train" and clip.domain in domains and clip.anomalous is False:
            by_class[class_of(clip)].append(clip)
    if not by_class:
        raise DataError(
            "There is nothing to learn from",
            found="no training normals",
            expected="clips like <machine>/train/section_00_source_train_normal_0000_<attributes>.wav",
            remedy="Add them, or give the data set that has them with --data.",
        )
    classes = tuple(sorted(by_class))
    generator = np.random.default_rng([seed, 1])
    learning: list[Clip] = []
    calibrating: list[Clip] = []
    for name in classes:
        members = by_class[name]
        keeps_out = members[0].domain == "source" and len(members) >= 4
        kept = math.ceil(held_out * len(members)) if keeps_out else 0
        order = generator.permutation(len(members))
        calibrating += [members[i] for i in sorted(order[:kept])]
        learning += [members[i] for i in sorted(order[kept:])]
    return TrainingSet(tuple(learning), tuple(calibrating), classes)


_OTHERS = "Add other machines with a second --data (asd-train simulate DIR makes some)"
_REMEDIES: dict[Labels, str] = {
    "machine": f"{_OTHERS}.",
    "section": f"{_OTHERS} where one network learns them all (dcase_mobilenetv2:all_machines), or a second section.",
    "attributes": f"{_OTHERS}, or give the clips attributes in their file names.",
    "joint": f"{_OTHERS}, or give the clips attributes in their file names.",
}


def check_classes(labels: LabelSet, what: Labels) -> None:
    """Raise DataError where there is only one class, and so nothing to tell apart."""
    if len(labels) < 2:
        raise DataError(
            "There is nothing to learn from: the network learns by telling classes of normal sound apart",
            found=f"1 class ({', '.join(labels.names)}) by {what}",
            expected="at least two classes",
            remedy=_REMEDIES[what],
        )
