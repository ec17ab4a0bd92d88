"""asd-train's commands that read runs; the life of a model through all of them is in tests/export."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asd_train.cli.app import app
from asd_train.networks.build import build_network
from asd_train.recipe import about_recipe, recipe_names
from tests.train.tiny_recipe import tiny_recipe

HEAVY = ("torch", "sklearn", "matplotlib", "jinja2", "onnxruntime", "scipy")


def asd_train(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from asd_train.cli import main\n"
        "sys.argv = ['asd-train', '--help']\n"
        "try: main()\n"
        "except SystemExit: print([name for name in " + repr(HEAVY) + " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name in ("simulate", "recipes", "fit", "imprint", "evaluate", "compare", "report", "reproduce"):
        assert name in done.stdout


def test_recipes_are_listed_with_what_they_say_of_themselves() -> None:
    text = asd_train("recipes")
    for name in recipe_names():
        about = about_recipe(name)
        assert all(part in text for part in (name, about.system, about.paper, about.needs))
    assert list(json.loads(asd_train("recipes", "--json"))) == recipe_names()


def test_compare_makes_one_line_of_two_seeds(small_data: Path, tiny_runs: list[Path]) -> None:
    (line,) = json.loads(asd_train("compare", *tiny_runs, "--data", small_data, "--json"))
    assert (line["name"], line["seeds"]) == ("tf_resnet (changed)", [0, 1])
    assert line["figures"]["target AUC"]["count"] == 2


def test_reproduce_prints_a_table_and_says_why_nothing_published_stands_beside_it(
    small_data: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(_toml(tiny_recipe(epochs=1).model_dump()), "utf-8")
    parameters = sum(weights.numel() for weights in build_network(tiny_recipe(), []).parameters())
    arguments = ("reproduce", "dcase2021", "--data", small_data, "--recipe", recipe, "--seeds", "1", "--limit", "9")
    text = asd_train(*arguments, "--out", tmp_path / "out")
    _, row = [line for line in text.splitlines() if line.startswith("tf_resnet (changed)  ")]  # hears, costs
    assert row.split()[2:4] == ["1", f"{parameters:,}"]
    assert "No published numbers beside these, because --limit left clips out." in text
    assert (tmp_path / "out" / "tf_resnet" / "seed-0.known.json").is_file()


def _toml(values: dict[str, object], name: str = "") -> str:
    """A recipe as TOML: plain values first, then each table under its name."""
    plain = {key: value for key, value in values.items() if not isinstance(value, dict) and value is not None}
    lines = [f"[{name}]"] * bool(name) + [f"{key} = {_inline(value)}" for key, value in plain.items()]
    for key, value in values.items():
        if isinstance(value, dict):
            lines.append(_toml(value, f"{name}.{key}" if name else key))
    return "\n".join(lines) + "\n"


def _inline(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evaluate", "--data", "x"), "give either --run or --bundle"),
        (("evaluate", "--data", "x", "--bundle", "default", "--backend", "knn"), "--backend goes with --run"),
        (("reproduce", "dcase2099", "--data", "x", "--out", "y"), "dcase2021"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(arguments: tuple[str, ...], says: str) -> None:
    assert says in asd_train(*arguments, code=2)
