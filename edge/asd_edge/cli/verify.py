"""asd-edge verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from asd_edge.cli.options import Json


def verify(
    bundle: Annotated[
        str | None, typer.Option(metavar="FILE", help="The bundle to verify; without it, the one that came along.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Verify the bundle that this device file names.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the golden segments in a bundle through each of its graphs on this machine: the parity gate.

    What a graph makes of them must be what the trained network made of them (int8: what the graph itself made where it
    was exported). Ends with 1 if one is not true; that one must not serve here.
    """
    from asd_edge.bundle.archive import load_bundle
    from asd_edge.bundle.trust import load_trusted
    from asd_edge.config import load_config
    from asd_edge.errors import ConfigError
    from asd_edge.serving.verify import verify as held

    if bundle is not None and config is not None:
        raise ConfigError(
            "It is not clear which bundle to verify",
            found="--bundle and --config",
            expected="one of them",
            remedy="Leave one out.",
        )
    whole = load_bundle(bundle or "default") if config is None else load_trusted(load_config(config).bundle)
    verdicts = [held(whole.at(variant.precision, variant.kind)) for variant in whole.manifest.variants]
    if as_json:
        typer.echo(json.dumps([verdict.to_json() for verdict in verdicts], indent=1))
    else:
        typer.echo(f"{whole.manifest.name}, release {whole.manifest.release}")
        for verdict in verdicts:
            typer.echo(f"  {verdict}")
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(1)
