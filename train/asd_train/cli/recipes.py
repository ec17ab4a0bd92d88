"""asd-train recipes."""

from __future__ import annotations

import json

import typer

from asd_train.cli.options import Json


def recipes(as_json: Json = False) -> None:
    """List the recipes that come with asd-train: the system, the paper, and what it needs to learn."""
    from asd_train.recipe import about_recipe, recipe_names

    about = {name: about_recipe(name) for name in recipe_names()}
    if as_json:
        typer.echo(json.dumps({name: each.model_dump() for name, each in about.items()}, indent=1))
        return
    wide = max(map(len, about))
    for name, each in about.items():
        typer.echo(f"{name:{wide}}  {each.system}")
        typer.echo(f"{'':{wide}}  {each.paper}")
        typer.echo(f"{'':{wide}}  needs {each.needs}")
