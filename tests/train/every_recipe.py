"""Every recipe, small enough for a test: the same code and the same shape, narrow networks, short segments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asd_train.recipe import Recipe, load_recipe, recipe_names
from asd_train.recipe.load import variant_names
from asd_train.simulate import simulate_dataset

EVERY = [f"{name}{variant}" for name in recipe_names() for variant in ("", *(f":{v}" for v in variant_names(name)))]
"""All recipes and all their variants."""

_FRAMES = 64


def small(name: str, *, epochs: int = 6) -> Recipe:
    """Return the recipe with segments of 64 frames and a network that takes seconds."""
    values = load_recipe(name, fast=True).model_dump(mode="json")
    network, training = values["network"], values["training"]
    if network["kind"] == "compact_and_spectrum":
        network["dims"] = 16
        _move(values["backend"], {128: 16, 448: 16 + values["front_end"]["mels"]})
    if "width" in network:
        network["width"] = 0.25 if network["kind"] != "resnet18_flow" else 0.0625
    if network["kind"] == "resnet18_flow":
        network["steps"] = 2
        pooled, frames = 32, _FRAMES // 32
        _move(values["backend"], {128: pooled, 138: pooled + frames})
    if values["segment"]["frames"] > _FRAMES:
        values["segment"] |= {"frames": _FRAMES, "step": _FRAMES // 2}
        training["crops"]["frames"] = _FRAMES
    training["batch"] = 512 if network["kind"] == "dense_autoencoder" else 8
    if network["kind"] == "mobilenetv2_classifier":
        training["crops"]["every"] = 64
    rates = {"tf_resnet": 0.1, "mobilenetv2": 0.02}
    training["schedule"] = [{"epochs": epochs, "learning_rate": rates.get(network["kind"], 1e-3)}]
    return Recipe.model_validate(values)


def _move(backend: dict[str, Any], places: dict[int, int]) -> None:
    """Cut the parts of an embedding where a narrower network has them."""
    for part in backend.get("parts", [backend]):
        part["start"], part["stop"] = (places.get(part[end], part[end]) for end in ("start", "stop"))


_SMALL = {name: small(name) for name in EVERY}
TRAINED = list(
    {
        recipe.model_dump_json(include={"scope", "network", "training"}): name
        for name, recipe in _SMALL.items()
        if recipe.training.objective.kind != "none"
    }.values()
)
"""Those that differ in how they are trained."""

UNTRAINED = [name for name, recipe in _SMALL.items() if recipe.training.objective.kind == "none"]
"""Those whose network has nothing to learn."""


def two_sections(folder: Path) -> None:
    """Write a data set of two machines with two sections each: every recipe finds something to tell apart."""
    simulate_dataset(
        folder,
        machines=("fan", "valve"),
        sections=(0, 1),
        train_source=9,
        train_target=2,
        test_per_cell=1,
        seed=5,
        seconds=4.0,
    )
