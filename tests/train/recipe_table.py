"""The table of docs/training.md that says what each recipe is and costs: python -m tests.train.recipe_table."""

from __future__ import annotations

import torch
from pydantic import BaseModel

from asd_train.build import build_network
from asd_train.networks.cost import cost
from asd_train.recipe import Recipe, load_recipe, recipe_names
from asd_train.recipe.load import variant_names

HEAD = ("recipe", "one network", "on the device", "scorer", "parameters", "multiply-adds")
CLASSES = tuple(f"machine/{section:02}/source/-" for section in range(6))
"""Those of a network that has one output a class: the six sections that each machine of DCASE 2021 has."""


def systems() -> list[str]:
    """Return all recipes, each followed by its variants."""
    return [f"{name}{each}" for name in recipe_names() for each in ("", *(f":{v}" for v in variant_names(name)))]


def row(name: str) -> tuple[str, ...]:
    """Return what the table says of a system."""
    recipe = load_recipe(name)
    networks = recipe.members * recipe.snapshots
    parameters, multiply_adds = _costs(recipe)
    times = "" if networks == 1 else f"{networks} × "
    return (
        f"`{name}`",
        "for all" if recipe.scope == "all" else "a machine",
        "with the sound" if recipe.embedder == "stream" else "whole segments",
        f"`{_scorer(recipe.backend)}`",
        f"{times}{parameters:,}",
        f"{times}{_millions(multiply_adds)}",
    )


def _costs(recipe: Recipe) -> tuple[int, int]:
    with torch.device("meta"):  # shapes alone
        network = build_network(recipe, CLASSES)
        shapes: list[tuple[int, ...]] = [(recipe.segment.frames, recipe.front_end.bands)]
        found = cost(network, *shapes, *([(recipe.spectrum_bins,)] if network.hears_spectrum else []))
    return found.parameters, found.multiply_adds


def _millions(count: int) -> str:
    return f"{count / 1e6:,.0f} M" if count >= 1e7 else f"{count / 1e6:.1f} M"


def _scorer(backend: BaseModel) -> str:
    """Name a backend by its kind; one that hands parts to others by theirs."""
    kind = str(getattr(backend, "kind", ""))
    inner = [*getattr(backend, "parts", ()), *([over] if (over := getattr(backend, "over", None)) else [])]
    if not inner:
        return kind
    joined = " + ".join(_scorer(each) for each in inner)
    return joined if kind in ("sum", "part") else f"{kind}({joined})"


if __name__ == "__main__":
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for each in systems():
        print(f"| {' | '.join(row(each))} |")
