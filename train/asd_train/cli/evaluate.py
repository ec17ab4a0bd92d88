"""asd-train evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_train.cli.options import Data, Domains, GroundTruth, Json
from asd_train.cli.tables import backends_table, evaluation_table, sheet_table
from asd_train.progress import Progress

if TYPE_CHECKING:
    from asd_edge.scoring.backends.backend import Backend


def evaluate(
    data: Data,
    run: Annotated[Path | None, typer.Option(help="Folder of a training run ...")] = None,
    bundle: Annotated[str | None, typer.Option(help="... or a bundle, scored as the device does.")] = None,
    channel: Annotated[
        int | None, typer.Option(help="With --bundle: which channel of multi-channel clips to hear.")
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            help="With --run: compare this backend, or `all`; may be repeated. Names and parameters: docs/backends.md.",
        ),
    ] = None,
    ground_truth: GroundTruth = None,
    domains: Domains = "nearest",
    as_json: Json = False,
) -> None:
    """Score the test clips; print AUC, pAUC, the official DCASE scores, and false alarms and detections."""
    from asd_edge.bundle.archive import load_bundle
    from asd_train.data.dcase import read_datasets
    from asd_train.embedder import torch_pipeline
    from asd_train.evaluation.runs import compare_backends, evaluate_bundle
    from asd_train.evaluation.system import evaluate_system
    from asd_train.published.beside import sheets
    from asd_train.published.data_sets import recognise
    from asd_train.recipe import name_beside_published
    from asd_train.run import load_runs

    if (run is None) == (bundle is None):
        raise typer.BadParameter("give either --run or --bundle")
    if backend and run is None:
        raise typer.BadParameter("a bundle has one backend; --backend goes with --run")
    chosen = _backends(backend or [])
    trained = None if run is None else load_runs(run)
    opened = load_bundle(bundle or "default") if trained is None else None
    clips, progress = read_datasets(data, ground_truth=ground_truth or ()), Progress()
    if trained is not None and chosen:
        if len(trained) != 1:
            raise typer.BadParameter(f"{run} has a network for each machine; compare backends of one: {run}/MACHINE")
        pipeline = torch_pipeline(trained[0])
        compared = compare_backends(trained[0], pipeline, clips, chosen, domains=domains, progress=progress)
        plain = {name: result.to_json() for name, result in compared.items()}
        typer.echo(json.dumps(plain, indent=1) if as_json else backends_table(compared))
        return
    if trained is not None:
        name = name_beside_published(trained[0].recipe)
        result = evaluate_system(trained, clips, domains=domains, progress=progress)
    else:
        assert opened is not None
        name = opened.manifest.name
        result = evaluate_bundle(opened, clips, channel=channel, domains=domains, progress=progress)
    if as_json:
        typer.echo(json.dumps({"domains": domains} | result.to_json(), indent=1))
        return
    typer.echo(evaluation_table(result))
    for sheet in sheets({name: [result]}, recognise(clips)):
        if not sheet.machine:
            typer.echo("\n" + sheet_table(sheet))


def _backends(names: list[str]) -> dict[str, Backend]:
    from asd_edge.scoring.backends.kinds import BACKENDS

    unknown = [name for name in names if name not in BACKENDS and name != "all"]
    if unknown:
        raise typer.BadParameter(f"no backend {', '.join(unknown)}; there are {', '.join(BACKENDS)} and all")
    return {name: backend for name, backend in BACKENDS.items() if name in names or "all" in names}
