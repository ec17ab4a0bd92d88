"""The tables in which the organisers tell the ground truth of their evaluation sets, in the forms they have had.

- `ground_truth_data/ground_truth_<machine>_section_03_test.csv`: rows `section_03_0000.wav,1`, 1 for an anomaly; in
  2021 a file for each domain (`..._source_test.csv`). `ground_truth_domain/`: the same with 1 for the target domain.
- `ground_truth_attributes/`: rows that end with the name a clip had before it was hidden, and so tell all three; a
  file for each section like above, or `<machine>/attributes_03.csv` (2022).
- `eval_data_list_<year>.csv` of the organisers' baseline: a line with a machine's name, then rows with the name its
  clips had, for one machine after the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from asd_edge.errors import DataError

from . import dcase2020, dcase2022
from .clip import Domain
from .tables import read_rows, stem_of

FORMS = (
    "ground_truth_data/ground_truth_<machine>_section_00_test.csv (with ground_truth_domain/ and "
    "ground_truth_attributes/ beside it), or eval_data_list_<year>.csv"
)
_SECTION_FILE = re.compile(r"ground_truth_(?P<machine>.+)_section_\d\d(?:_source|_target)?_test\.csv")
_MACHINE_FILE = re.compile(r"attributes_\d\d\.csv")
_LIST = re.compile(r"eval_data_list.*\.csv")
_LABELS, _DOMAINS, _NAMES = "ground_truth_data", "ground_truth_domain", "ground_truth_attributes"

Key = tuple[str, str]
"""A machine type and `stem_of` a clip's name."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a test clip; None, "unknown" and "" where nothing is."""

    anomalous: bool | None = None
    domain: Domain = "unknown"
    attributes: str = ""


Table = dict[Key, Truth]


def tables_below(path: Path) -> tuple[list[Table], list[Table]]:
    """Return what stands in the tables of a folder, or in one file: in numbers, and in names; a table a machine or so.

    Raises:
        DataError: there are no such tables, or one cannot be read.
    """
    numbers: list[Table] = []
    names: list[Table] = []
    for file in sorted(path.rglob("*.csv")) if path.is_dir() else [path] if path.is_file() else []:
        section, parent = _SECTION_FILE.fullmatch(file.name), file.parent.name
        if section and parent in (_LABELS, _DOMAINS):
            numbers.append(_numbers(file, section["machine"]))
        elif section and parent == _NAMES:
            names.append(_names(read_rows(file), section["machine"]))
        elif _MACHINE_FILE.fullmatch(file.name) and file.parent.parent.name == _NAMES:
            names.append(_names(read_rows(file), parent))
        elif _LIST.fullmatch(file.name):
            names += _list(file)
    if not numbers and not names:
        raise DataError(
            f"There is no ground truth in {path}",
            found="no tables with these names" if path.exists() else "no such file or folder",
            expected=FORMS,
            remedy="Give the folder of the organisers' evaluator of that year.",
        )
    return numbers, names


def _numbers(file: Path, machine: str) -> Table:
    table = {}
    for row in read_rows(file):
        if len(row) != 2 or row[1] not in ("0", "1"):
            raise DataError(
                f"The ground truth in {file} cannot be read",
                found=",".join(row),
                expected="rows like section_00_0000.wav,0 or section_00_0000.wav,1",
                remedy="Download it again from the organisers' evaluator.",
            )
        one = row[1] == "1"
        truth = Truth(anomalous=one) if file.parent.name == _LABELS else Truth(domain="target" if one else "source")
        table[machine, stem_of(row[0])] = truth
    return table


def _names(rows: list[tuple[str, ...]], machine: str) -> Table:
    """Read rows of a hidden name and, further right, the name from before; the last one says most (2024)."""
    table = {}
    for hidden, *fields in rows:
        named = [name for field in fields if (name := _parse(field)) and name.anomalous is not None]
        if named:
            table[machine, stem_of(hidden)] = named[-1]
    return table


def _parse(name: str) -> Truth | None:
    stem = stem_of(name)
    named = dcase2022.parse_name(stem) or dcase2020.parse(stem, "")
    return None if named is None else Truth(named.anomalous, named.domain, named.attributes)


def _list(file: Path) -> list[Table]:
    machines: dict[str, list[tuple[str, ...]]] = {}
    machine = ""
    for row in read_rows(file):
        if len(row) == 1:
            machine = row[0]
        else:
            machines.setdefault(machine, []).append(row)
    return [_names(rows, machine) for machine, rows in machines.items()]
