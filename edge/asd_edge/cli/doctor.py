"""asd-edge doctor."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_edge.cli.options import Json
from asd_edge.words import counted

if TYPE_CHECKING:
    from rich.console import Console

    from asd_edge.doctor.finding import Line

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "bold red"}
_WIDEST = 100  # columns; longer lines are hard to read
_LEVEL, _CHECK = 9, 14


def doctor(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The device file; without it, what it names is not looked at.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(metavar="FILE", help="A bundle to look at in the place of the device file's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at everything a device needs: each line is ok, a warning or a fault, with its remedy.

    Nothing is changed and nothing is heard, so it may run beside the daemon. It needs no root; what only root can see
    is named as not seen. Ends with 1 if there is a fault.
    """
    from asd_edge.doctor.checks import CHECKS
    from asd_edge.doctor.device import Device
    from asd_edge.doctor.examine import examine, report_of

    logging.basicConfig(level=logging.ERROR)  # what the checks come across stands in their lines
    lines = examine(Device.of(config, bundle), CHECKS)
    if as_json:
        report = report_of(lines)
        typer.echo(report.model_dump_json(indent=1))
    else:
        report = report_of(_printed(lines))
        typer.echo(f"\n{counted(report.faults, 'fault')}, {counted(report.warnings, 'warning')}")
    if report.faults:
        raise typer.Exit(1)


def _printed(lines: Iterator[Line]) -> Iterator[Line]:
    """Print each finding when it is there."""
    from rich.console import Console

    console = Console(highlight=False)  # it has colours on a terminal only
    for line in lines:
        _print(console, line)
        yield line


def _print(console: Console, line: Line) -> None:
    from rich.text import Text

    subject = "" if line.subject is None else f"{line.subject}: "
    notes = [f"→ {line.remedy}"] if line.remedy is not None else []
    notes += [f"not seen: {line.unseen}"] if line.unseen is not None else []
    width = min(console.width, _WIDEST) - _LEVEL - _CHECK
    first, *others = [part for text in (f"{subject}{line.found}", *notes) for part in _wrapped(text, width)]
    console.print(
        Text.assemble((f"{line.level:{_LEVEL}}", _COLOURS[line.level]), f"{line.check:{_CHECK}}{first}"), soft_wrap=True
    )
    for other in others:
        console.print(Text(" " * (_LEVEL + _CHECK) + other), soft_wrap=True)


def _wrapped(text: str, width: int) -> list[str]:
    # A path or a command is worth more whole than the margin.
    lines = textwrap.wrap(text, max(width, 20), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return lines or [""]
