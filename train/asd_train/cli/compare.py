"""asd-train compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from asd_train.cli.options import Data, Domains, GroundTruth, Json
from asd_train.cli.tables import comparison_table, sheet_table
from asd_train.progress import Progress


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of training runs.")],
    data: Data,
    ground_truth: GroundTruth = None,
    domains: Domains = "nearest",
    as_json: Json = False,
) -> None:
    """Evaluate several runs on one data set; seeds of one recipe become one line, mean ± deviation."""
    from asd_train.data.dcase import read_datasets
    from asd_train.evaluation.comparison import compare_runs, evaluated
    from asd_train.evaluation.system import evaluate_system
    from asd_train.published.beside import sheets
    from asd_train.published.data_sets import recognise
    from asd_train.run import load_runs

    trained = [load_runs(folder) for folder in runs]
    clips, progress = read_datasets(data, ground_truth=ground_truth or ()), Progress()
    results = [evaluate_system(system, clips, domains=domains, progress=progress) for system in trained]
    lines = compare_runs([evaluated(system, result) for system, result in zip(trained, results, strict=True)])
    if as_json:
        typer.echo(json.dumps([line.to_json() for line in lines], indent=1))
        return
    typer.echo(comparison_table(lines))
    for sheet in sheets({line.name: line.evaluations for line in lines}, recognise(clips)):
        if not sheet.machine:
            typer.echo("\n" + sheet_table(sheet))
