"""asd-edge bench."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from asd_edge.cli.options import Json


def bench(
    bundle: Annotated[str, typer.Option(metavar="FILE", help="The bundle to measure.")] = "default",
    channels: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Microphones heard at once.")] = 4,
    threads: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Threads that run the network.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=1.0, max=600.0, help="How long to measure; in all it takes about three times that.")
    ] = 10.0,
    as_json: Json = False,
) -> None:
    """Measure what a bundle costs on this machine: speed, memory and how late a score is.

    Everything is measured in one run, and what is compared is taken in turns. Stop the daemon before, or it is
    measured too. A bundle's graphs are in fp32; int8 ones are compared in the project's `make bench`.
    """
    from asd_edge.benchmark.report import measure
    from asd_edge.bundle.archive import load_bundle

    report = measure(load_bundle(bundle), channels=channels, threads=threads, seconds=seconds)
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else "\n".join(report.lines()))
