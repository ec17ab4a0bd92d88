"""Ground truth: labels, domains and attributes that the names of an evaluation set hide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from asd_edge.errors import DataError

from .clip import Clip
from .ground_truth_tables import FORMS, Key, Table, Truth, tables_below
from .tables import stem_of


def read_ground_truth(paths: Iterable[Path]) -> Table:
    """Read the ground truth below some folders, or in single files; the forms are those of `ground_truth_tables`.

    Where the numbers of a table and the names in another contradict each other, the numbers count, for the official
    results were computed with them, and nothing of that table of names is believed. This happens: for ToyCar and
    ToyTrain of 2022 they agree no better than by chance.

    Raises:
        DataError: nothing is found, a table cannot be read, or two say different things of one clip.
    """
    numbers: Table = {}
    names: list[Table] = []
    for path in paths:
        found, named = tables_below(path)
        names += named
        for table in found:
            _add(numbers, table)
    truths = dict(numbers)
    for table in names:
        if all(_agree(numbers.get(key, Truth()), truth) for key, truth in table.items()):
            _add(truths, table)
    return truths


def labelled(clip: Clip, machine: str, truths: Mapping[Key, Truth]) -> Clip:
    """Return the clip with what is known of it; what its own name says stays.

    Args:
        clip: any clip; only test clips without a label change.
        machine: its machine type, without the prefix of its data set.
        truths: from `read_ground_truth`.

    Raises:
        DataError: its label is known and its domain is not.
    """
    truth = truths.get((machine, stem_of(clip.path.name)))
    if truth is None or clip.split != "test" or clip.anomalous is not None:
        return clip
    domain = clip.domain if clip.domain != "unknown" else truth.domain
    if truth.anomalous is None or domain == "unknown":
        raise DataError(
            f"The ground truth says only half of what is to be known of {clip.path}",
            found="its domain" if truth.anomalous is None else "whether it is an anomaly",
            expected="both, from " + FORMS,
            remedy="Give the folder that holds all tables, as the organisers' evaluator has it.",
        )
    return replace(clip, anomalous=truth.anomalous, domain=domain, attributes=truth.attributes or clip.attributes)


def _add(truths: Table, table: Table) -> None:
    for key, truth in table.items():
        known = truths.get(key, Truth())
        if not _agree(known, truth):
            raise DataError(
                f"Two tables of the ground truth say different things of {key[1]} of the machine {key[0]}",
                found=f"{known} and {truth}",
                expected="one ground truth a clip",
                remedy="Give the ground truth of one year at a time, and only once.",
            )
        truths[key] = Truth(
            anomalous=truth.anomalous if known.anomalous is None else known.anomalous,
            domain=truth.domain if known.domain == "unknown" else known.domain,
            attributes=known.attributes or truth.attributes,
        )


def _agree(one: Truth, other: Truth) -> bool:
    labels = None in (one.anomalous, other.anomalous) or one.anomalous == other.anomalous
    domains = "unknown" in (one.domain, other.domain) or one.domain == other.domain
    return labels and domains
