"""asd-train fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asd_train.cli.options import Accelerator, Data, Precision
from asd_train.progress import Progress


def fit(
    data: Data,
    out: Annotated[Path, typer.Option(help="New folder for the run, or the runs of all machines.")],
    recipe: Annotated[
        str, typer.Option(help="Name of a recipe, NAME:VARIANT, or a TOML file (asd-train recipes).")
    ] = "asd_edge",
    fast: Annotated[
        bool, typer.Option("--fast", help="The recipe's preset for a CPU: minutes instead of hours.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights, order, crops and mixup.")] = 0,
    channel: Annotated[
        int | None,
        typer.Option(
            help="Which channel of multi-channel clips to hear; by default the recipe's (DCASE 2026: 0 near, 1 far)."
        ),
    ] = None,
    machine: Annotated[
        list[str] | None,
        typer.Option(
            "--machine", help="Where a recipe has a network for each machine: only this one; may be repeated."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many clips of each machine, domain and label: a first try.")
    ] = None,
    accelerator: Annotated[Accelerator, typer.Option(help="auto takes a GPU where there is one.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Devices on this machine that train together.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines that train together, with torchrun.")] = 1,
    precision: Annotated[
        Precision, typer.Option(help="Numbers of the forward pass; auto is bfloat16 on a GPU that has it.")
    ] = "auto",
    cache: Annotated[
        Path | None, typer.Option(help="Folder for features, which are computed once; by default the user's cache.")
    ] = None,
    logs: Annotated[Path | None, typer.Option(help="Folder for metrics.csv and TensorBoard's events.")] = None,
    keep_every: Annotated[
        float, typer.Option(help="Seconds between two states that a training which was cut off goes on from.")
    ] = 30.0,
) -> None:
    """Train a recipe on the normal sound of all machines given; cut off, the same command goes on."""
    from asd_train.data.dcase import read_datasets
    from asd_train.data.limit import limited
    from asd_train.recipe import load_recipe
    from asd_train.run import check_free, save_runs
    from asd_train.training.engine import Engine, is_first_process
    from asd_train.training.fit import fit_all
    from asd_train.training.work import Work

    check_free(out)
    settings = load_recipe(recipe, fast=fast)
    if limit is not None:  # a run of a few clips is never taken for the published system
        settings = settings.model_copy(update={"name": f"{settings.name} ({limit} clips)"})
    clips = read_datasets(data)

    def report(epoch: int, loss: float) -> None:
        if is_first_process():
            typer.echo(f"epoch {epoch}/{settings.training.epochs}  loss {loss:.4f}", err=True)

    work = Work(
        engine=Engine(accelerator=accelerator, devices=devices, nodes=nodes, precision=precision),
        cache_folder=cache,
        unfinished=out.with_name(f"{out.name}.unfinished"),
        keep_every_s=keep_every,
        logs=logs,
    )
    runs = fit_all(
        settings,
        clips if limit is None else limited(clips, limit),
        datasets=data,
        seed=seed,
        channel=channel,
        machines=machine,
        progress=Progress(),
        report=report,
        work=work,
    )
    if is_first_process():
        save_runs(runs, out)
        work.forget_unfinished()
        typer.echo(f"Wrote {out}. Next: asd-train evaluate --run {out} --data {data[0]}")
