"""What every command does at its outermost: errors as text on standard error, exit codes, Ctrl-C."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from asd_edge.errors import AsdEdgeError

if TYPE_CHECKING:
    import typer

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it; typer ends with it."""


def run_command(app: typer.Typer) -> None:
    """Run a typer application; an AsdEdgeError becomes its text and its exit code, never a traceback."""
    try:
        app()
    except AsdEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("interrupted; nothing was left half-written", file=sys.stderr)
        raise


def missing_extra(command: str, extra: str, package: str) -> NoReturn:
    """Say that a command needs an extra that is not installed, and exit."""
    print(
        f"error: {command} needs the {extra} extra\n"
        f"  found:    a base installation without {package}\n"
        f"  expected: asd-edge[{extra}]\n"
        f"  remedy:   pip install 'asd-edge[{extra}]'",
        file=sys.stderr,
    )
    sys.exit(1)
