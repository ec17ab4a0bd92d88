"""Commands in the documents are commands that there are, with options that they have."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from asd_edge.cli.app import app

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(p for p in (ROOT / "firmware_configs").rglob("*") if p.is_file()),
]
LINE = re.compile(r"^(?:\$ |# {5}(?:sudo )?)?(?:/opt/asd-edge/bin/)?(asd-edge .+?)(?: {2,}#.*)?$", re.MULTILINE)
INLINE = re.compile(r"`(asd-edge [a-z][^`]* --[^`]*)`")
COMMANDS = [(p.name, line) for p in DOCUMENTS for form in (LINE, INLINE) for line in form.findall(p.read_text("utf-8"))]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """Return the innermost command that the words name, and the words after it; options of groups are skipped."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands"):
        at = next((i for i, word in enumerate(rest) if word in command.commands), None)
        assert at is not None, f"no command of {command.name} in {rest}"
        command, rest = command.commands[rest[at]], rest[at + 1 :]
    return command, rest


@pytest.mark.parametrize(("document", "line"), COMMANDS, ids=[f"{i}" for i in range(len(COMMANDS))])
def test_a_command_in_a_document_exists_with_its_options(document: str, line: str) -> None:
    command, rest = command_of(shlex.split(line.split("|")[0].rstrip("&; )"), comments=True)[1:])
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.split("=")[0] for word in rest if word.startswith("--")} - {"--help"}
    assert used <= known, document


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 20
    assert {"README.md", "first-hour.md", "enrollment.md", "asd-edge.service"} <= {name for name, _ in COMMANDS}
