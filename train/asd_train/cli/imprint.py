"""asd-train imprint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asd_train.progress import Progress


def imprint(
    run: Annotated[Path, typer.Option(help="Folder of a training run.")],
    clips: Annotated[Path, typer.Option(help="Folder of normal clips: one class, or a sub-folder for each class.")],
    machine: Annotated[str, typer.Option(help="Whose clips they are, MACHINE/SECTION, for example fan/00.")],
    out: Annotated[Path, typer.Option(help="New folder for the new run.")],
    tune: Annotated[
        bool, typer.Option("--finetune", help="Adapt the network to the clips; without it no weight changes.")
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="The run's data sets where they lie now; by default where they lay."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the fine-tuning.")] = 0,
) -> None:
    """Take a few clips of a new condition into a run, so that its bundle has their centre."""
    from asd_train.imprinting.imprint import imprint_run
    from asd_train.run import check_free, load_run, save_run

    check_free(out)
    trained = load_run(run)
    made = imprint_run(
        trained,
        clips,
        machine,
        datasets=data or trained.datasets,
        tune=tune,
        seed=seed,
        progress=Progress(),
        report=lambda iteration, loss: typer.echo(f"iteration {iteration}  loss {loss:.4f}", err=True),
    )
    save_run(made, out)
    if tune and made.finetuned[-1].source_classes:
        typer.echo("A single target class: the centres of the source classes joined the loss (an extension of ours).")
    typer.echo(f"Wrote {out}. Next: asd-export bundle --run {out} --out {out}.asd")
