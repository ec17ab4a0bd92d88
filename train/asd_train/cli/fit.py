"""asd-train fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asd_train.cli.options import Data
from asd_train.progress import Progress


def fit(
    data: Data,
    out: Annotated[Path, typer.Option(help="New folder for the run.")],
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a TOML file.")] = "tf_resnet",
    fast: Annotated[
        bool, typer.Option("--fast", help="The recipe's preset for a CPU: minutes instead of hours.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights, order, crops and mixup.")] = 0,
    channel: Annotated[int | None, typer.Option(help="Which channel of multi-channel clips to hear.")] = None,
) -> None:
    """Train a network on the normal sound of all machines given."""
    from asd_train.data.dcase import read_datasets
    from asd_train.fit import fit as fit_run
    from asd_train.recipe import load_recipe
    from asd_train.run import check_free, save_run

    check_free(out)
    settings = load_recipe(recipe, fast=fast)
    run = fit_run(
        settings,
        read_datasets(data),
        datasets=data,
        seed=seed,
        channel=channel,
        progress=Progress(),
        report=lambda epoch, loss: typer.echo(f"epoch {epoch}/{settings.training.epochs}  loss {loss:.4f}", err=True),
    )
    save_run(run, out)
    typer.echo(f"Wrote {out}. Next: asd-train evaluate --run {out} --data {data[0]}")
