"""Recipes: TOML files that state a system completely. An unknown key is an error."""

from .load import load_recipe, recipe_names
from .recipe import FineTuning, Recipe

__all__ = ["FineTuning", "Recipe", "load_recipe", "recipe_names"]
