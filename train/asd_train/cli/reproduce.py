"""asd-train reproduce."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from asd_train.cli.options import DOMAINS_HELP, Data, DomainsChoice, GroundTruth, Json
from asd_train.cli.tables import comparison_table, sheet_table
from asd_train.progress import Progress


def reproduce(
    what: Annotated[Literal["dcase2021"], typer.Argument(help="Whose protocol and tables.")],
    data: Data,
    out: Annotated[
        Path, typer.Option(help="Folder for runs and finished cells; cells in it are not made again.")
    ] = Path("reproduced"),
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")] = 4,
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", help="Only this recipe or TOML file; may be repeated.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=2, help="At most so many clips of a machine, section, split, domain and label: a first try."),
    ] = None,
    ground_truth: GroundTruth = None,
    fast: Annotated[bool, typer.Option("--fast", help="The recipes' presets for a CPU.")] = False,
    domains: Annotated[DomainsChoice, typer.Option("--domains", help=DOMAINS_HELP)] = "known",
    as_json: Json = False,
) -> None:
    """Train recipes over seeds, evaluate them by a year's protocol, and print its papers' tables beside ours."""
    from asd_train.data.dcase import read_datasets
    from asd_train.data.limit import limited
    from asd_train.evaluation.comparison import compare_runs
    from asd_train.published.beside import sheets
    from asd_train.published.data_sets import recognise
    from asd_train.recipe import load_recipe, recipe_names
    from asd_train.reproduce import Plan, reproduce_cell

    settings = [load_recipe(name, fast=fast) for name in recipe or recipe_names()]
    clips = read_datasets(data, ground_truth=ground_truth or ())
    data_sets = [found for found in recognise(clips if limit is None else []) if found.name == "DCASE 2021"]
    plan = Plan(clips if limit is None else limited(clips, limit), data, domains, out)
    cells = []
    for each in settings:
        for seed in range(seeds):
            typer.echo(f"{each.name}, seed {seed}", err=True)
            cells.append(reproduce_cell(plan, each, seed, progress=Progress(), report=_tell))
    lines = compare_runs(cells)
    if as_json:
        typer.echo(json.dumps([line.to_json() for line in lines], indent=1))
        return
    typer.echo(comparison_table(lines))
    for sheet in sheets({line.name: line.evaluations for line in lines}, data_sets):
        if not sheet.machine:
            typer.echo("\n" + sheet_table(sheet))
    if not data_sets:
        reason = (
            "--limit left clips out"
            if limit is not None
            else "the clips are not the whole development or evaluation set"
        )
        typer.echo(f"\nNo published numbers beside these, because {reason}.")


def _tell(epoch: int, loss: float) -> None:
    typer.echo(f"  epoch {epoch}  loss {loss:.4f}", err=True)
