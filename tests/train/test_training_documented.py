"""Commands of training in the documents can be given as they stand; docs/training.md tells the recipes as they are."""

from __future__ import annotations

import re
import shlex
from typing import Any, get_args

import click
import pytest
import typer
from torch.distributed.run import get_args_parser

from asd_export.cli.app import app as export
from asd_train.cli.app import app as train
from asd_train.recipe import Recipe, load_recipe
from asd_train.recipe.training import ClassLossTable, ObjectiveTable
from tests.conftest import REPOSITORY
from tests.train import recipe_table

DOCUMENTS = {
    str(path.relative_to(REPOSITORY)): path.read_text("utf-8")
    for path in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")))
}
PAGE = DOCUMENTS["docs/training.md"]


def found(pattern: str) -> list[tuple[str, str]]:
    return [(name, line) for name, text in DOCUMENTS.items() for line in re.findall(pattern, text, flags=re.MULTILINE)]


COMMANDS = found(r"^(?:\$ )?(asd-(?:train|export) .+)$")
IN_SENTENCES = found(r"`(asd-(?:train|export) [^`]+)`")
TORCHRUN = found(r"^(torchrun .+)$")


def command_of(program: str, words: list[str]) -> tuple[click.Command, list[str]]:
    group: Any = typer.main.get_command(export if program == "asd-export" else train)
    return group.commands[words[0]], words[1:]


def parsed(program: str, words: list[str]) -> dict[str, Any]:
    command, rest = command_of(program, words)
    return command.make_context(words[0], rest).params


@pytest.mark.parametrize(("document", "line"), COMMANDS)
def test_a_command_can_be_given_as_it_stands(document: str, line: str) -> None:
    program, *words = shlex.split(line, comments=True)
    recipe = parsed(program, words).get("recipe")
    if isinstance(recipe, str):
        load_recipe(recipe)


@pytest.mark.parametrize(("document", "line"), IN_SENTENCES)
def test_a_command_in_a_sentence_exists_with_its_options(document: str, line: str) -> None:
    program, *words = line.split()
    command, rest = command_of(program, [word.rstrip("…") for word in words])
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize(("document", "line"), TORCHRUN)
def test_torchrun_starts_as_many_processes_as_the_training_expects(document: str, line: str) -> None:
    started = get_args_parser().parse_args(shlex.split(line)[1:])
    assert (started.module, started.training_script) == (True, "asd_train.cli")
    values = parsed("asd-train", started.training_script_args)
    processes = int(started.nnodes.split(":")[0]), int(started.nproc_per_node)
    assert (values["nodes"], values["devices"]) == processes


def test_there_are_commands_to_check() -> None:
    documents = {"README.md", "docs/training.md", "docs/evaluation.md", "docs/finetuning.md"}
    assert documents <= {name for name, _ in COMMANDS}
    assert len(COMMANDS) > 20
    assert len(TORCHRUN) == 3


@pytest.mark.parametrize("table", [recipe_table.recipes, recipe_table.systems])
def test_the_page_has_the_recipes_as_they_are(table: Any) -> None:
    assert table() in PAGE, "python -m tests.train.recipe_table prints what belongs there"


def test_every_table_option_objective_and_loss_is_explained() -> None:
    explained = set(re.findall(r"`(\[?[a-zA-Z_.-]+\]?)", PAGE))
    top = {name if _is_plain(name) else f"[{name}]" for name in Recipe.model_fields} - {"[machines]"}
    kinds = {
        get_args(table.model_fields["kind"].annotation)[0]
        for union in (ObjectiveTable, ClassLossTable)
        for table in get_args(get_args(union)[0])
    }
    command, _ = command_of("asd-train", ["fit"])
    options = {option for parameter in command.params for option in parameter.opts}
    assert top | kinds | options <= explained


def _is_plain(name: str) -> bool:
    return name in ("name", "embedder", "aggregation", "scope", "channel", "members", "snapshots")
