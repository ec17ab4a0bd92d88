"""asd-train quantise-aware."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asd_train.cli.options import Accelerator
from asd_train.progress import Progress


def quantise_aware(
    run: Annotated[Path, typer.Option(help="Folder of a training run, or of the runs of all machines.")],
    out: Annotated[Path, typer.Option(help="New folder for the new run or runs.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training clips.")] = 4,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="The run's data sets where they lie now; by default where they lay."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of order and crops.")] = 0,
    accelerator: Annotated[Accelerator, typer.Option(help="auto takes a GPU where there is one.")] = "auto",
    cache: Annotated[
        Path | None, typer.Option(help="Folder for features, which are computed once; by default the user's cache.")
    ] = None,
) -> None:
    """Let a trained network learn to give in int8 what it gives in float32, where int8 alone loses too much."""
    from asd_train.data.dcase import read_datasets
    from asd_train.quantise_aware import quantise_aware as learn
    from asd_train.run import check_free, load_runs, save_run, save_runs
    from asd_train.training.engine import Engine
    from asd_train.training.work import Work

    check_free(out)
    trained = load_runs(run)
    clips = read_datasets(data or trained[0].datasets)
    work = Work(engine=Engine(accelerator=accelerator, precision="32-true"), cache_folder=cache)

    def report(epoch: int, loss: float) -> None:
        typer.echo(f"epoch {epoch}/{epochs}  loss {loss:.3e}", err=True)

    made = [
        learn(each, clips, epochs=epochs, seed=seed, progress=Progress(), report=report, work=work) for each in trained
    ]
    if len(made) == 1:
        save_run(made[0], out)
    else:
        save_runs(made, out)
    typer.echo(f"Wrote {out}. Next: asd-export bundle --run {out} --out {out}.asd --precision fp32,fp16,int8")
