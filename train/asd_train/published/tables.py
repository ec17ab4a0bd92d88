"""Published results as printed: results.csv, and tables.toml for whose they are."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import TypeAdapter

from asd_edge.strict import Strict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Definition = Literal["within", "across", "simulated target"]
Figure = Literal["auc", "pauc", "omega", "score"]
Cells = Literal["source", "target", "both"]


class PublishedTable(Strict):
    """A table of a paper, and the data set and split it speaks of; `note`: what to know before comparing."""

    key: str
    title: str
    paper: str
    data_set: str
    split: Literal["dev", "eval"]
    note: str = ""


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """One number of a table.

    `machine`, `section`: empty for the harmonic mean over all of them. `domain`: `both` for the harmonic mean of source
    and target where the definition is within a domain, else for all normals against all anomalies.
    `definition`: `within` a domain (2021) or anomalies of both domains, `across` (2022 and later).
    `figure`: `omega` is the official score of 2021, `score` that of 2022 and later.
    `percent` and `sd` as printed; `sd` empty where the paper gives none.
    """

    table: PublishedTable
    system: str
    machine: str
    section: str
    domain: Cells
    definition: Definition
    figure: Figure
    percent: str
    sd: str

    @property
    def value(self) -> float:
        """The number from 0 to 1."""
        return float(self.percent) / 100.0


@cache
def published_tables() -> dict[str, PublishedTable]:
    """Return the tables by their keys."""
    text = (resources.files(__package__) / "tables.toml").read_text("utf-8")
    tables = [PublishedTable.model_validate(table) for table in tomllib.loads(text)["table"]]
    return {table.key: table for table in tables}


@cache
def published_results() -> tuple[PublishedResult, ...]:
    """Return every number of every table, in the order of the papers."""
    tables = published_tables()
    text = (resources.files(__package__) / "results.csv").read_text("utf-8")
    rows = [row | {"table": tables[row["table"]]} for row in csv.DictReader(text.splitlines())]
    return tuple(TypeAdapter(list[PublishedResult]).validate_python(rows))
