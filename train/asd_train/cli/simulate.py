"""asd-train simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asd_train.progress import Progress


def simulate(
    folder: Annotated[Path, typer.Argument(help="New folder for the data set.")],
    machines: Annotated[
        list[str] | None, typer.Option("--machine", help="Only this kind of machine; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same clips.")] = 0,
    train_source: Annotated[int, typer.Option(help="Normal training clips a machine, source domain.")] = 90,
    train_target: Annotated[int, typer.Option(help="Normal training clips a machine, target domain.")] = 10,
    test: Annotated[int, typer.Option(help="Test clips a machine for each domain and label.")] = 25,
) -> None:
    """Write a data set of simulated machines: normal sound to train on, normal and faulty sound to test with."""
    from asd_edge.simulator import MACHINES
    from asd_train.simulate import simulate_dataset

    simulate_dataset(
        folder,
        machines=tuple(machines or MACHINES),
        train_source=train_source,
        train_target=train_target,
        test_per_cell=test,
        seed=seed,
        progress=Progress(),
    )
    typer.echo(f"Wrote {folder}. Next: asd-train fit --data {folder} --out RUN")
