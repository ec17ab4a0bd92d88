"""asd-edge support-bundle."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from asd_edge.cli.options import Config


def support_bundle(
    config: Config,
    out: Annotated[Path, typer.Option(metavar="FILE.tar.gz", help="Where the archive is written.")],
) -> None:
    """Gather what somebody far away needs to help: status, doctor, settings, versions, the last log lines.

    Nothing that was heard goes in, neither sound nor embeddings nor clips, and no password, key or user name.
    """
    from asd_edge.support import write_support_bundle

    logging.basicConfig(level=logging.ERROR)
    for name in write_support_bundle(config, out):
        typer.echo(f"  {name}")
    typer.echo(f"{out} holds this and no more; look into it before you hand it out.")
