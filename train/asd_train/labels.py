"""The label set of a training run, and which normals are kept out of it for calibration."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asd_edge.errors import DataError

from .data.clip import Clip


@dataclass(frozen=True)
class TrainingSet:
    """`clips`: source normals to learn from. `held_out`: source normals that only calibrate thresholds.

    `classes`: one a machine, section and attribute string, sorted.
    """

    clips: tuple[Clip, ...]
    held_out: tuple[Clip, ...]
    classes: tuple[str, ...]


def class_of(clip: Clip) -> str:
    """Return the class a clip belongs to: all machines' attribute classes form one label set."""
    return f"{clip.unit}/{clip.label}"


def training_set(clips: Sequence[Clip], *, held_out: float, seed: int) -> TrainingSet:
    """Split the source training normals into learning and calibrating clips, class by class.

    Args:
        clips: all clips of all data sets.
        held_out: share of each class's clips that only calibrate; a class of fewer than four clips keeps them all.
        seed: of the split.

    Raises:
        DataError: fewer than two classes.
    """
    by_class: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.split == "train" and clip.domain == "source" and clip.anomalous is False:
            by_class[class_of(clip)].append(clip)
    classes = tuple(sorted(by_class))
    if len(classes) < 2:
        raise DataError(
            "There is nothing to learn from: the network learns by telling classes of normal sound apart",
            found=f"{len(classes)} class ({', '.join(classes) or 'no source training normals'})",
            expected="at least two classes (machine, section, attribute)",
            remedy="Add other machines with a second --data (asd-train simulate DIR makes some), or split the "
            "clips into pseudo-classes by giving them attributes in their file names.",
        )
    generator = np.random.default_rng([seed, 1])
    learning: list[Clip] = []
    calibrating: list[Clip] = []
    for name in classes:
        members = by_class[name]
        kept = math.ceil(held_out * len(members)) if len(members) >= 4 else 0
        order = generator.permutation(len(members))
        calibrating += [members[i] for i in sorted(order[:kept])]
        learning += [members[i] for i in sorted(order[kept:])]
    return TrainingSet(tuple(learning), tuple(calibrating), classes)
