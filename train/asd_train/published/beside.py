"""Published numbers beside ours, only where data set, split and definition of the metric agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..evaluation.evaluate import Evaluation
from ..evaluation.metrics import harmonic_mean
from ..evaluation.official import three_of_each, within_domains
from ..evaluation.results import MachineResult
from ..evaluation.spread import Spread
from .data_sets import DataSet
from .tables import Cells, Definition, Figure, PublishedResult, published_results

_FIGURES: dict[Figure, str] = {"auc": "AUC", "pauc": "pAUC", "omega": "Ω 2021", "score": "score 2022"}


@dataclass(frozen=True, slots=True)
class Column:
    """One definition of a figure: only numbers of the same column may be compared."""

    definition: Definition
    figure: Figure
    domain: Cells

    @property
    def title(self) -> str:
        """What stands over the column."""
        figure = _FIGURES[self.figure]
        if self.figure == "omega":
            return figure
        if self.figure == "score":
            return f"{figure}, AUCs within the domain" if self.definition == "within" else figure
        if self.definition == "within":
            return f"{figure}, {'both domains' if self.domain == 'both' else self.domain}"
        return f"{figure}, {'all mixed' if self.domain == 'both' else f'{self.domain} against all anomalies'}"


@dataclass(frozen=True, slots=True)
class Line:
    """A system in a sheet: whose numbers (`origin` names the paper's table, or says ours), and each as text."""

    origin: str
    system: str
    cells: Mapping[Column, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that was published on a data set, or on one machine or section of it, and ours; percent.

    `machine`, `section`: empty for the harmonic mean over all. `notes`: what a reader must know.
    """

    data_set: DataSet
    machine: str
    section: str
    columns: tuple[Column, ...]
    published: tuple[Line, ...]
    ours: tuple[Line, ...]
    notes: tuple[str, ...]


def sheets(ours: Mapping[str, Sequence[Evaluation]], data_sets: Sequence[DataSet]) -> list[Sheet]:
    """Return what was published on these data sets, with ours: all machines first, then each machine and section.

    Args:
        ours: evaluations of one system over seeds, by its name.
        data_sets: what `recognise` said of the clips they were made with.
    """
    found = []
    for data_set in data_sets:
        groups: dict[tuple[str, str], list[PublishedResult]] = {}
        for result in published_results():
            if (result.table.data_set, result.table.split) == (data_set.name, data_set.split):
                groups.setdefault((result.machine, result.section), []).append(result)
        for machine, section in sorted(groups):
            sheet = _sheet(ours, data_set, machine, section, groups[machine, section])
            if sheet.columns:
                found.append(sheet)
    return found


def _sheet(
    ours: Mapping[str, Sequence[Evaluation]],
    data_set: DataSet,
    machine: str,
    section: str,
    results: Sequence[PublishedResult],
) -> Sheet:
    wanted = {unit for unit in data_set.units if _is_of(unit, machine, section)}
    columns = dict.fromkeys(Column(r.definition, r.figure, r.domain) for r in results)
    own_lines = []
    for system, evaluations in ours.items():
        spreads = {
            column: Spread.of([our_figure(column, _cells(each, wanted)) for each in evaluations]) for column in columns
        }
        cells = {column: spread.text(scale=100.0, digits=2) for column, spread in spreads.items() if spread.is_known}
        own_lines.append(Line(f"ours, {len(evaluations)} seed{'s' * (len(evaluations) > 1)}", system, cells))
    shared = tuple(column for column in columns if any(column in line.cells for line in own_lines))
    lines: dict[tuple[str, str], dict[Column, str]] = {}
    for r in results:
        column = Column(r.definition, r.figure, r.domain)
        if column in shared:
            lines.setdefault((r.table.key, r.system), {})[column] = f"{r.percent} ± {r.sd}" if r.sd else r.percent
    tables = dict.fromkeys(r.table for r in results)
    return Sheet(
        data_set=data_set,
        machine=machine,
        section=section,
        columns=shared,
        published=tuple(Line(origin, system, cells) for (origin, system), cells in lines.items()),
        ours=tuple(own_lines),
        notes=tuple(f"{table.key}: {table.note}" for table in tables if table.note),
    )


def our_figure(column: Column, cells: Sequence[MachineResult]) -> float:
    """Return our figure over some machines and sections by a column's definition; NaN if we have none."""
    values = _values(column, cells)
    return float("nan") if any(value != value for value in values) else harmonic_mean(values)


def _cells(evaluation: Evaluation, wanted: set[str]) -> list[MachineResult]:
    """The results of the wanted machines and sections; none unless all are there, for a mean over fewer is another."""
    cells = [result for result in evaluation.machines if f"{result.machine}/{result.section}" in wanted]
    return cells if len(cells) == len(wanted) else []


def _is_of(unit: str, machine: str, section: str) -> bool:
    own_machine, own_section = unit.split("/")
    return machine in ("", own_machine) and section in ("", own_section)


def _values(column: Column, cells: Sequence[MachineResult]) -> list[float]:
    match column.definition, column.figure, column.domain:
        case "within", "auc", "both":
            return within_domains(cells)[0]
        case "within", "pauc", "both":
            return within_domains(cells)[1]
        case "within", "omega", _:
            aucs, paucs = within_domains(cells)
            return aucs + paucs
        case "within", "score", _:  # Fujimura et al. 2023: AUCs within the domain, one pAUC over everything
            return [value for cell in cells for value in (cell.source.auc, cell.target.auc, cell.pauc)]
        case "within", "auc", domain:
            return [(cell.source if domain == "source" else cell.target).auc for cell in cells]
        case "within", "pauc", domain:
            return [(cell.source if domain == "source" else cell.target).pauc for cell in cells]
        case "across", "score", _:
            return three_of_each(cells)
        case "across", "auc", "source":
            return [cell.auc_source for cell in cells]
        case "across", "auc", "target":
            return [cell.auc_target for cell in cells]
        case "across", "auc", _:
            return [cell.auc for cell in cells]
        case "across", "pauc", _:
            return [cell.pauc for cell in cells]
        case _:  # a simulated target: no evaluation of a whole data set gives it
            return []
