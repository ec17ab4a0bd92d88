"""One recording of a data set and what its name says about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Domain = Literal["source", "target"]
Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording. `attributes` is the part of a DCASE file name after the number, for example `vel_9_loc_A`."""

    path: Path
    machine: str
    section: str
    domain: Domain
    split: Split
    anomalous: bool
    attributes: str

    @property
    def unit(self) -> str:
        """The machine and section: what owns centres and a threshold, for example `fan/00`."""
        return f"{self.machine}/{self.section}"

    @property
    def key(self) -> str:
        """What the clip is called wherever its data set lies: `<unit>/<file name>`."""
        return f"{self.unit}/{self.path.name}"

    @property
    def label(self) -> str:
        """Domain and attributes within the unit, for example `source/vel_9_loc_A`."""
        return f"{self.domain}/{self.attributes or 'all'}"
