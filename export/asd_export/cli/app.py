"""The commands of asd-export."""

from __future__ import annotations

import typer

from asd_export.cli.accept import accept
from asd_export.cli.bundle import bundle
from asd_export.cli.sign import sign

app = typer.Typer(
    name="asd-export",
    help="Turn training runs into bundles for devices, and vouch for them.",
    no_args_is_help=True,
    add_completion=False,
)
app.command()(bundle)
app.command()(accept)
app.command()(sign)
