"""The page: tables and figures of all runs in one HTML file."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from asd_edge import __version__
from asd_edge.atomic import atomic_write
from asd_edge.errors import DataError

from ..data.clip import Clip
from ..evaluation.comparison import EvaluatedRun, compare_runs, cost_of, evaluated
from ..evaluation.evaluate import Evaluation, evaluation_of
from ..evaluation.official import MachineMeans
from ..evaluation.results import MachineResult
from ..evaluation.scored import Domains, ScoredClip
from ..evaluation.spread import FIGURES
from ..progress import Progress
from ..published.beside import sheets
from ..published.data_sets import DataSet
from .curves import histograms, loss, roc
from .gallery import spectrograms
from .maps import tsne
from .study import MachineStudy, Study, relative_score


@dataclass(frozen=True)
class MachinePart:
    """What the page shows of one machine and section."""

    result: MachineResult
    roc: Markup
    histograms: Markup
    tsne: Markup | None
    imprinted: bool
    gallery: tuple[tuple[str, ScoredClip, Markup], ...]


@dataclass(frozen=True)
class RunPart:
    """What the page shows of one run. `means`: of machines with several sections."""

    name: str
    study: Study
    evaluation: Evaluation
    loss: Markup | None
    machines: tuple[MachinePart, ...]
    means: tuple[MachineMeans, ...]
    parameters: int
    recipe: str


def check_writable(out: Path) -> None:
    """Raise DataError if a report cannot be written to `out`; called before minutes of work, not after."""
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise DataError(
            f"The report cannot be written to {out}",
            found="a folder of that name" if out.is_dir() else f"no folder {out.absolute().parent}",
            expected="the name of a file in a folder that exists",
            remedy="Choose another --out, or make the folder.",
        )


def write_report(
    systems: Sequence[Sequence[Study]],
    clips: Sequence[Clip],
    datasets: Sequence[str],
    out: Path,
    *,
    data_sets: Sequence[DataSet],
    domains: Domains,
    progress: Progress,
) -> None:
    """Write the report of some systems on one data set, as a whole or not at all.

    Args:
        systems: the studies of each, at least one.
        clips: of the data set.
        datasets: where the clips lie, for the record.
        out: HTML file.
        data_sets: published ones among the clips, whose papers' numbers stand beside ours.
        domains: how test clips were judged.
        progress: shows a bar.

    Raises:
        SourceError: a clip of the gallery cannot be read any more.
        OSError: `out` cannot be written.
    """
    lines = compare_runs([_whole(system) for system in systems])
    studies = [study for system in systems for study in system]
    drawn: list[list[MachinePart]] = [[] for _ in studies]
    each = [(place, study, machine) for place, study in enumerate(studies) for machine in study.machines]
    for place, study, machine in progress.track(each, "drawing", len(each)):
        drawn[place].append(_machine_part(study, machine))
    page = _template().render(
        runs=[_run_part(study, parts) for study, parts in zip(studies, drawn, strict=True)],
        lines=lines,
        figures=FIGURES,
        sheets=sheets({line.name: line.evaluations for line in lines}, data_sets),
        counts=_counts(clips),
        datasets=datasets,
        domains=domains,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        versions={"asd-edge": __version__, "Python": platform.python_version(), **_torch_version()},
    )
    with atomic_write(out) as stream:
        stream.write(page.encode("utf-8"))


def _whole(system: Sequence[Study]) -> EvaluatedRun:
    """Return a system with the figures of all its machines together."""
    runs = list({id(study.run): study.run for study in system}.values())
    results = [result for study in system for result in study.evaluation.machines]
    return evaluated(runs, evaluation_of(sorted(results, key=lambda result: (result.machine, result.section))))


def _template() -> Template:
    folder = resources.files(__package__)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = lambda value, digits=3: "–" if value != value else f"{value:.{digits}f}"
    environment.filters["share"] = lambda value: "–" if value != value else f"{value:.0%}"
    environment.filters["relative"] = relative_score
    environment.globals["style"] = Markup((folder / "page.css").read_text("utf-8"))
    return environment.from_string((folder / "page.html.j2").read_text("utf-8"))


def _run_part(study: Study, machines: Sequence[MachinePart]) -> RunPart:
    sections = Counter(result.machine for result in study.evaluation.machines)
    return RunPart(
        name=study.name,
        study=study,
        evaluation=study.evaluation,
        loss=loss(study.run.history) if study.run.history else None,
        machines=tuple(machines),
        means=tuple(mean for mean in study.evaluation.means if sections[mean.machine] > 1),
        parameters=cost_of(study.run).parameters,
        recipe=study.run.recipe.model_dump_json(indent=1),
    )


def _machine_part(study: Study, machine: MachineStudy) -> MachinePart:
    results = {f"{result.machine}/{result.section}": result for result in study.evaluation.machines}
    pictures = spectrograms(machine, study.run.recipe.front_end, study.run.channel)
    return MachinePart(
        result=results[machine.unit],
        roc=roc(machine),
        histograms=histograms(machine),
        tsne=tsne(machine),
        imprinted=bool(machine.before),
        gallery=tuple(
            (place, scored, picture) for (place, scored), picture in zip(machine.gallery, pictures, strict=True)
        ),
    )


def _counts(clips: Sequence[Clip]) -> list[tuple[str, Counter[str]]]:
    """Count each machine and section's clips by what they are for."""
    counts: dict[str, Counter[str]] = {}
    for clip in clips:
        kind = f"{clip.split} {clip.domain} {'anomaly' if clip.anomalous else 'normal'}"
        counts.setdefault(clip.unit, Counter())[kind] += 1
    return sorted(counts.items())


def _torch_version() -> dict[str, str]:
    import torch

    return {"torch": torch.__version__}
