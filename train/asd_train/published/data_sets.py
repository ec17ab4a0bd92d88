"""Which published data set some clips are: told by machines, sections and numbers of clips, never by a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ..data.clip import Clip, Domain

_SEVEN_2021 = frozenset({"ToyCar", "ToyTrain", "fan", "gearbox", "pump", "slider", "valve"})
_SEVEN_2022 = frozenset({"ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve"})
_DOMAINS: tuple[Domain, ...] = ("source", "target")


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set and split that papers report on.

    `train_source`, `train_target`, `test`: least and most clips of a section; `test` for each domain and label.
    `attributes`: whether every training clip names its own, which tells 2023 from its successors.
    """

    name: str
    split: Literal["dev", "eval"]
    machines: frozenset[str]
    sections: tuple[str, ...]
    train_source: tuple[int, int]
    train_target: tuple[int, int]
    test: tuple[int, int]
    attributes: bool = False

    @property
    def units(self) -> frozenset[str]:
        """Its machines and sections."""
        return frozenset(f"{machine}/{section}" for machine in self.machines for section in self.sections)

    def __str__(self) -> str:
        return f"{self.name} {self.split}"


# The organisers state about 1000 + 3 training clips and about 100 test clips a cell for 2021; 990 + 10 and 50 since.
_2021 = partial(DataSet, "DCASE 2021", train_source=(800, 1200), train_target=(3, 3), test=(75, 250))
_2022 = partial(DataSet, train_source=(900, 1000), train_target=(10, 10), test=(40, 60))
DATA_SETS = (
    _2021("dev", _SEVEN_2021, ("00", "01", "02")),
    _2021("eval", _SEVEN_2021, ("03", "04", "05")),
    _2022("DCASE 2022", "dev", _SEVEN_2022, ("00", "01", "02")),
    _2022("DCASE 2022", "eval", _SEVEN_2022, ("03", "04", "05")),
    _2022("DCASE 2023", "dev", _SEVEN_2022, ("00",), attributes=True),
)


def recognise(clips: Sequence[Clip]) -> tuple[DataSet, ...]:
    """Return the published data sets that are in `clips` as a whole."""
    trained = [clip for clip in clips if clip.split == "train" and not clip.anomalous]
    train = Counter((clip.unit, clip.domain) for clip in trained)
    unnamed = {clip.unit for clip in trained if clip.attributes in ("", "noAttribute")}
    test = Counter((clip.unit, clip.domain, clip.anomalous) for clip in clips if clip.split == "test")
    sections: dict[str, set[str]] = {}
    for unit, _, _ in test:
        machine, section = unit.split("/")
        sections.setdefault(machine, set()).add(section)

    def is_there(data: DataSet) -> bool:
        return (
            all(_within(train[unit, "source"], data.train_source) for unit in data.units)
            and all(_within(train[unit, "target"], data.train_target) for unit in data.units)
            and all(
                _within(test[unit, domain, label], data.test)
                for unit in data.units
                for domain in _DOMAINS
                for label in (False, True)
            )
            and not (data.attributes and (data.units & unnamed or _more_sections(data, sections)))
        )

    return tuple(data for data in DATA_SETS if is_there(data))


def _more_sections(data: DataSet, sections: dict[str, set[str]]) -> bool:
    """Whether machines have sections that the data set lacks: section 00 of 2022 alone is not 2023."""
    return any(sections[machine] - set(data.sections) for machine in data.machines)


def _within(count: int, limits: tuple[int, int]) -> bool:
    return limits[0] <= count <= limits[1]
