"""asd-export accept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asd_export.cli.extra import need_the_extra


def accept(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle to hold to the gate.")],
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Data sets whose test clips are scored with every graph; none by default."),
    ] = None,
    channel: Annotated[int | None, typer.Option(help="Channel of multi-channel clips.")] = None,
) -> None:
    """Hold every graph of a bundle to the parity gate: golden segments, and scores of clips that you give.

    Ends with 1 if one fails; such a bundle must not be shipped.
    """
    need_the_extra()
    from asd_edge.bundle.archive import load_bundle
    from asd_export.accept import accept as held
    from asd_export.accept import table
    from asd_train.data.dcase import read_datasets
    from asd_train.progress import Progress

    clips = read_datasets(data) if data else []
    opened = load_bundle(bundle)
    typer.echo(f"{bundle}: {opened.manifest.name}, release {opened.manifest.release} ({opened.bundle_id[:12]})")
    found = held(opened, clips, channel=channel, progress=Progress())
    typer.echo(table(found))
    if not clips:
        typer.echo("No clip was scored: the golden segments alone were judged (--data scores clips).")
    refused = [f"{one.kind}/{one.precision}" for one in found if one.why]
    typer.echo(f"REFUSED for {', '.join(refused)}: not to be shipped" if refused else "ACCEPTED")
    if refused:
        raise typer.Exit(1)
