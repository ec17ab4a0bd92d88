"""Recipes: what they leave to calibrate with, what --fast changes, and errors that name the key."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from asd_edge.errors import ConfigError
from asd_edge.scoring.backends.kinds import BACKENDS
from asd_edge.scoring.backends.mahalanobis import Mahalanobis
from asd_edge.scoring.backends.minimum import Minimum
from asd_edge.scoring.calibration import FEW_CLIPS
from asd_train.labels import training_set
from asd_train.networks.build import build_network
from asd_train.networks.mobilenetv2 import MobileNetV2
from asd_train.networks.tf_resnet import TFResNet
from asd_train.recipe import Recipe, load_recipe, name_beside_published, recipe_names
from tests.train.clips import clip

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_fast_keeps_enough_clips_out_of_a_simulated_machine_to_fit_its_scores() -> None:
    clips = [clip(number, attributes=f"spd_{number % 9}") for number in range(90)]
    kept = training_set(clips, held_out=load_recipe("tf_resnet", fast=True).calibration.held_out, seed=0).held_out
    assert len(kept) == 27
    assert len(kept) >= FEW_CLIPS


@pytest.mark.parametrize("name", recipe_names())
def test_fast_changes_what_its_table_states_and_nothing_else(name: str) -> None:
    published, fast = (load_recipe(name, fast=fast).model_dump() for fast in (False, True))
    with (resources.files("asd_train") / "recipes" / f"{name}.toml").open("rb") as file:
        stated = tomllib.load(file).get("fast", {})
    assert (fast != published) == bool(stated)
    assert _without(fast, stated) == _without(published, stated)


def _without(values: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    """Leave out every value that `stated` has one for, table by table."""
    return {
        key: _without(value, stated[key]) if isinstance(stated.get(key), dict) and isinstance(value, dict) else value
        for key, value in values.items()
        if key not in stated or isinstance(stated[key], dict)
    }


def test_the_two_published_recipes_differ_in_the_network_alone() -> None:
    one, other = (load_recipe(name).model_dump() for name in ("tf_resnet", "mobilenetv2_embed"))
    assert other.pop("network") == {"kind": "mobilenetv2", "width": 1.0, "dims": one.pop("network")["dims"]}
    for values in (one, other):
        del values["name"]
    assert (one.pop("embedder"), other.pop("embedder")) == ("stream", "segment")  # the network that strides cannot
    # Either way a clip of ten seconds is one window: a stream needs its context beside it.
    assert (one.pop("window"), other.pop("window")) == ({"segments": 7, "every": 1}, {"segments": 8, "every": 1})
    assert one == other


def altered(folder: Path, name: str, line: str, by: str) -> str:
    """Return the path of the published recipe with one line of its [network] table replaced."""
    published = (resources.files("asd_train") / "recipes" / f"{name}.toml").read_text("utf-8")
    head, table, rest = published.partition("[network]\n")
    network, blank, rest = rest.partition("\n\n")
    kept = [row for row in network.splitlines() if not row.startswith(f"{line} =")]
    assert len(kept) == len(network.splitlines()) - 1
    (folder / "mine.toml").write_text(head + table + "\n".join([*kept, by]) + blank + rest, "utf-8")
    return str(folder / "mine.toml")


def test_an_unknown_key_is_an_error_that_names_it(tmp_path: Path) -> None:
    published = (resources.files("asd_train") / "recipes" / "tf_resnet.toml").read_text("utf-8")
    (tmp_path / "mine.toml").write_text(published + "held_oot = 0.1\n", "utf-8")
    with pytest.raises(ConfigError, match=r"calibration\.held_oot"):
        load_recipe(str(tmp_path / "mine.toml"), fast=True)


@pytest.mark.parametrize(
    ("name", "line", "by", "key", "found"),
    [
        ("mobilenetv2_embed", "width", "width = 0.2", "network.width of kind mobilenetv2", "equal to 0.25 (got 0.2)"),
        ("mobilenetv2_embed", "width", "width = 1.5", "network.width of kind mobilenetv2", "equal to 1.4 (got 1.5)"),
        ("mobilenetv2_embed", "width", "", "network.width of kind mobilenetv2", "Field required"),
        ("mobilenetv2_embed", "dims", "dims = 1", "network.dims of kind mobilenetv2", "equal to 2 (got 1)"),
        ("mobilenetv2_embed", "dims", "dims = 8\nheads = 2", "network.heads of kind mobilenetv2", "permitted (got 2)"),
        ("tf_resnet", "heads", "", "network.heads of kind tf_resnet", "Field required"),
        ("tf_resnet", "width", "width = 0.05", "network.width of kind tf_resnet", "equal to 0.0625 (got 0.05)"),
        ("tf_resnet", "kind", 'kind = "resnet"', "network.kind", "(got 'resnet')"),
        ("tf_resnet", "kind", "", "network.kind", "Field required"),
    ],
)
def test_a_network_that_cannot_be_is_refused_by_its_key(
    tmp_path: Path, name: str, line: str, by: str, key: str, found: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_recipe(altered(tmp_path, name, line, by))
    (said,) = [row for row in str(error.value).splitlines() if row.startswith("  found:")]
    assert said.split(maxsplit=1)[1].startswith(f"{key}: ")
    assert found in said


@pytest.mark.parametrize(
    ("by", "key", "found"),
    [
        ('kind = "vae"', "backend.kind", "(got 'vae')"),
        ('kind = "k_means"', "backend.centres of kind k_means", "Field required"),
        ('kind = "k_means"\ncentres = 0', "backend.centres of kind k_means", "equal to 1 (got 0)"),
        ('kind = "gmm"\ncomponents = 2\ncentres = 2', "backend.centres of kind gmm", "permitted (got 2)"),
    ],
)
def test_a_backend_that_cannot_be_is_refused_by_its_key(tmp_path: Path, by: str, key: str, found: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_recipe(with_backend(tmp_path, by))
    (said,) = [row for row in str(error.value).splitlines() if row.startswith("  found:")]
    assert said.split(maxsplit=1)[1].startswith(f"{key}: ")
    assert found in said


def test_a_recipe_may_combine_backends(tmp_path: Path) -> None:
    over = 'over = { kind = "knn", neighbours = 1, distance = "cosine" }'
    parts = (
        f'kind = "minimum"\nparts = [{{ kind = "mahalanobis" }}, {{ kind = "local_density", neighbours = 4, {over} }}]'
    )
    backend = load_recipe(with_backend(tmp_path, parts)).backend
    assert backend == Minimum(parts=(Mahalanobis(), BACKENDS["local_density"]))


def with_backend(folder: Path, table: str) -> str:
    published = (resources.files("asd_train") / "recipes" / "tf_resnet.toml").read_text("utf-8")
    head, _, rest = published.partition('kind = "nearest_centre"')
    (folder / "mine.toml").write_text(head + table + rest, "utf-8")
    return str(folder / "mine.toml")


def test_mobilenetv2_is_never_run_with_the_sound(tmp_path: Path) -> None:
    published = (resources.files("asd_train") / "recipes" / "mobilenetv2_embed.toml").read_text("utf-8")
    (tmp_path / "mine.toml").write_text(published.replace('embedder = "segment"', 'embedder = "stream"'), "utf-8")
    with pytest.raises(ConfigError, match=r'found: +embedder = "stream" with a network that strides in time'):
        load_recipe(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize("width", [0.25, 0.35, 1.4])
def test_mobilenetv2_is_built_with_every_key_of_its_table(width: float) -> None:
    values = load_recipe("mobilenetv2_embed").model_dump()
    values["network"] |= {"width": width, "dims": 96}
    network = build_network(Recipe.model_validate(values), [])
    assert isinstance(network, MobileNetV2)
    assert (network.bands, network.dims) == (128, 96)
    assert parameters(network) == parameters(MobileNetV2(width=width, dims=96))


def test_tf_resnet_is_built_with_every_key_of_its_table(tmp_path: Path) -> None:
    network = build_network(load_recipe(altered(tmp_path, "tf_resnet", "heads", "heads = 3"), fast=True), [])
    assert isinstance(network, TFResNet)
    assert parameters(network) == parameters(TFResNet(width=0.5, heads=3))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_a_recipe_that_was_changed_is_not_called_by_the_published_name_alone() -> None:
    published = load_recipe("dcase_ae")
    assert name_beside_published(published) == name_beside_published(published.for_machine("fan")) == "dcase_ae"
    assert name_beside_published(load_recipe("dcase_ae:mahalanobis")) == "dcase_ae:mahalanobis"
    assert name_beside_published(load_recipe("subcluster_adacos_2021").for_machine("valve")) == "subcluster_adacos_2021"
    assert name_beside_published(load_recipe("dcase_ae", fast=True)) == "dcase_ae (changed)"
    assert name_beside_published(published.model_copy(update={"name": "mine"})) == "mine"
