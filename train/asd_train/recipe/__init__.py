"""Recipes: TOML files that state a system completely. An unknown key is an error."""

from .load import about_recipe, load_recipe, name_beside_published, recipe_names
from .recipe import About, FineTuning, Recipe

__all__ = ["About", "FineTuning", "Recipe", "about_recipe", "load_recipe", "name_beside_published", "recipe_names"]
