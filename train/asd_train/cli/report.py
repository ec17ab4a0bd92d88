"""asd-train report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asd_train.cli.options import Data, Domains, GroundTruth
from asd_train.progress import Progress


def report(
    run: Annotated[list[Path], typer.Option("--run", help="Folder of a training run; may be repeated.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="HTML file to write; it needs nothing beside it.")],
    ground_truth: GroundTruth = None,
    domains: Domains = "nearest",
) -> None:
    """Write an evaluation as a page to read: tables, curves, scores, embeddings, and the clips behind them."""
    from asd_train.data.dcase import read_datasets
    from asd_train.published.data_sets import recognise
    from asd_train.report.page import check_writable, write_report
    from asd_train.report.study import studies_of
    from asd_train.run import load_runs

    check_writable(out)
    runs = [(str(path), load_runs(path)) for path in run]
    clips, progress = read_datasets(data, ground_truth=ground_truth or ()), Progress()
    systems = [studies_of(name, system, clips, domains=domains, progress=progress) for name, system in runs]
    write_report(systems, clips, data, out, data_sets=recognise(clips), domains=domains, progress=progress)
    typer.echo(f"Wrote {out}")
