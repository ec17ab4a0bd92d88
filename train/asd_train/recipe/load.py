"""Reading recipes: those that come with the package by name, others by path."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from asd_edge.errors import ConfigError

from .recipe import About, Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("asd_train") / "recipes"
    return sorted(path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml"))


def about_recipe(name: str) -> About:
    """Return what a recipe says of itself; `load_recipe` says which errors there are."""
    try:
        return About.model_validate(_tables(name).get("about", {}))
    except ValidationError as error:
        raise _broken(name, "about." + _found(error.errors()[0])) from None


def variant_names(name: str) -> list[str]:
    """Return the variants of a recipe; `load_recipe` says which errors there are."""
    return list(_tables(name).get("variants", {}))


def name_beside_published(recipe: Recipe) -> str:
    """Return a recipe's name; one that was changed, by a preset or by hand, is told from the published system."""
    try:
        published = load_recipe(recipe.name)
    except ConfigError:
        return recipe.name
    alike = (published, *(published.for_machine(kind) for kind in published.machines), published.for_machine(""))
    return recipe.name if recipe.sha256 in {each.sha256 for each in alike} else f"{recipe.name} (changed)"


def load_recipe(name: str, *, fast: bool = False) -> Recipe:
    """Load a recipe by name or by path of a TOML file.

    Args:
        name: a name from `recipe_names()` or a path; `NAME:VARIANT` applies one of its `[variants]` tables.
        fast: apply the recipe's `[fast]` table, which replaces what a small data set and a CPU cannot afford.

    Raises:
        ConfigError: no such recipe, or one that cannot be used as written.
    """
    base, _, variant = name.partition(":")
    tables = _tables(base)
    variants = tables.pop("variants", {})
    if variant:
        if variant not in variants:
            raise _broken(base, f"no variant {variant!r}; there are {', '.join(variants) or 'none'}")
        tables = _merged(tables, variants[variant])
        tables["name"] = f"{tables.get('name')}:{variant}"
    shortcut = tables.pop("fast", {})
    tables.pop("about", None)
    try:
        return Recipe.model_validate(_merged(tables, shortcut) if fast else tables)
    except ValidationError as error:
        raise _broken(name, _found(error.errors()[0])) from None


def _tables(name: str) -> dict[str, Any]:
    try:
        tables: dict[str, Any] = tomllib.loads(_text(name))
    except tomllib.TOMLDecodeError as error:
        raise _broken(name, str(error)) from None
    return tables


def _text(name: str) -> str:
    if name in recipe_names():
        return (resources.files("asd_train") / "recipes" / f"{name}.toml").read_text("utf-8")
    try:
        return Path(name).read_text("utf-8")
    except OSError:
        raise ConfigError(
            f"There is no recipe {name!r}",
            found="neither a recipe of that name nor a readable file",
            expected=f"one of {', '.join(recipe_names())}, or the path of a TOML file",
            remedy="Choose one of these: --recipe asd_edge",
        ) from None


def _found(error: ErrorDetails) -> str:
    """Name the key as the recipe spells it: pydantic calls the kind a tag, and puts it beneath its table."""
    location, context = error["loc"], error.get("ctx", {})
    if not location:  # two tables that do not go together
        return error["msg"].removeprefix("Value error, ")
    if error["type"] == "union_tag_not_found":
        return f"{location[0]}.kind: Field required"
    if error["type"] == "union_tag_invalid":
        return f"{location[0]}.kind: Input should be one of {context['expected_tags']} (got {context['tag']!r})"
    kind = f" of kind {location[1]}" if location[0] in ("network", "backend") and len(location) > 1 else ""
    keys = (*location[:1], *location[2:]) if kind else location
    return f"{'.'.join(map(str, keys))}{kind}: {error['msg']} (got {error['input']!r})"


def _broken(name: str, found: str) -> ConfigError:
    return ConfigError(
        f"The recipe {name} cannot be used",
        found=found,
        expected=f"the tables and keys of one of these recipes: {', '.join(recipe_names())}",
        remedy="Mend that key; unknown keys are errors.",
    )


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over` laid over it, table by table; a table of another kind replaces one."""
    if "kind" in over and over["kind"] != base.get("kind"):
        return over
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            merged[key] = _merged(inner, value)
        else:
            merged[key] = value
    return merged
