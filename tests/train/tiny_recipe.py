"""The published recipe, small enough for a test: same code, few channels, few epochs."""

from __future__ import annotations

from asd_train.recipe import Recipe, load_recipe


def tiny_recipe(*, epochs: int = 2) -> Recipe:
    values = load_recipe("tf_resnet").model_dump()
    values["network"]["width"] = 0.25
    values["training"]["schedule"] = [{"epochs": epochs, "learning_rate": 0.1}]
    values["training"]["batch"] = 8
    values["finetune"] |= {"iterations": 2, "batch": 4}
    return Recipe.model_validate(values)
