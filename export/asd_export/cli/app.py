"""The commands of asd-export."""

from __future__ import annotations

import typer

from asd_export.cli.bundle import bundle

app = typer.Typer(
    name="asd-export",
    help="Turn training runs into bundles for devices.",
    no_args_is_help=True,
    add_completion=False,
)
app.command()(bundle)


@app.callback()
def _group() -> None:
    """Keep `bundle` a subcommand while it is the only one."""
