"""The two tables of recipes in docs/training.md: python -m tests.train.recipe_table prints them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from pydantic import BaseModel

from asd_train.networks.build import build_network
from asd_train.networks.cost import Cost, cost
from asd_train.recipe import Recipe, about_recipe, load_recipe, recipe_names
from tests.train.every_recipe import EVERY

CLASSES = tuple(f"machine/{section:02}/source/-" for section in range(6))
"""Those of a network that has one output a class: the six sections that each machine of DCASE 2021 has."""


def recipes() -> str:
    """Return what the recipes say of themselves, as a table."""
    about = {name: about_recipe(name) for name in recipe_names()}
    rows = [(f"`{name}`", each.system, each.paper, each.needs) for name, each in about.items()]
    return _table(("recipe", "system", "paper", "needs"), rows)


def systems() -> str:
    """Return the recipes and their variants with how they run and what they cost, as a table."""
    head = ("system", "one network", "on the device", "scorer", "parameters", "multiply-adds")
    return _table(head, map(_system, EVERY))


def _system(name: str) -> tuple[str, ...]:
    recipe = load_recipe(name)
    networks, each = recipe.members * recipe.snapshots, _cost(recipe)
    times = f"{networks} × " if networks > 1 else ""
    return (
        f"`{name}`",
        "for all" if recipe.scope == "all" else "a machine",
        "with the sound" if recipe.embedder == "stream" else "whole segments",
        _scorer(recipe.backend),
        f"{times}{each.parameters:,}",
        f"{times}{each.multiply_adds / 1e6:,.0f} M",
    )


def _cost(recipe: Recipe) -> Cost:
    with torch.device("meta"):  # shapes alone, no numbers
        network = build_network(recipe, CLASSES)
        spectrum = [(recipe.spectrum_bins,)] if network.hears_spectrum else []
        return cost(network, (recipe.segment.frames, recipe.front_end.bands), *spectrum)


def _scorer(backend: BaseModel) -> str:
    """Name a backend by its kind, and those that it hands its work to."""
    values = dict(backend)
    inner = [*values.get("parts", ()), *([values["over"]] if "over" in values else [])]
    joined = " + ".join(map(_scorer, inner))
    match values["kind"]:
        case "sum" | "part":
            return joined
        case kind:
            return f"`{kind}`" + (f" over {joined}" if joined else "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    print(f"{recipes()}\n\n{systems()}")
