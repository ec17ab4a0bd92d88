"""One recording of a data set and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .features_file import is_features

Domain = Literal["source", "target", "unknown"]
Split = Literal["train", "test", "supplemental"]
Role = Literal["mixture", "clean", "noise"]


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording.

    `domain`: "unknown" for the evaluation clips of 2022 and later, until a ground truth tells.
    `split`: "supplemental" clips are neither trained on nor tested with; a system that can use them asks for them.
    `anomalous`: None where nobody has said so: such a clip can be scored, but never counts as normal or anomalous.
    `attributes`: the part of a DCASE file name after the number, for example `vel_9_loc_A`; empty where it is hidden.
    `role`: what is to be heard: the machine in its surroundings (nearly always), or, in the supplemental clips of
    2025 and later, the machine alone ("clean") or its surroundings alone ("noise").

    A clip of 2026 has two channels, 0 near the machine and 1 far from it. It is one clip: whoever reads its sound
    chooses the channel.
    """

    path: Path
    machine: str
    section: str
    domain: Domain
    split: Split
    anomalous: bool | None
    attributes: str
    role: Role = "mixture"

    @property
    def unit(self) -> str:
        """The machine and section: what owns centres and a threshold, for example `fan/00`."""
        return f"{self.machine}/{self.section}"

    @property
    def key(self) -> str:
        """What the clip is called wherever its data set lies: `<unit>/<file name>`. A run knows its clips by it."""
        return f"{self.unit}/{self.path.name}"

    @property
    def label(self) -> str:
        """Domain and attributes within the unit, for example `source/vel_9_loc_A`."""
        return f"{self.domain}/{self.attributes or 'all'}"

    @property
    def is_features(self) -> bool:
        """Whether the file holds log-mel features instead of sound."""
        return is_features(self.path)
