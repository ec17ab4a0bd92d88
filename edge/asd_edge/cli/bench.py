"""asd-edge bench."""

from __future__ import annotations

import json
from typing import Annotated, cast

import typer

from asd_edge.cli.options import Json


def bench(
    bundle: Annotated[str, typer.Option(metavar="FILE", help="The bundle to measure.")] = "default",
    precision: Annotated[str, typer.Option(metavar="NAME", help="Which of its graphs: fp32, fp16 or int8.")] = "fp32",
    channels: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Microphones heard at once.")] = 4,
    threads: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Threads that run the network.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=1.0, max=600.0, help="How long to measure; in all it takes about three times that.")
    ] = 10.0,
    as_json: Json = False,
) -> None:
    """Measure what a bundle costs on this machine: speed, memory and how late a score is.

    Everything is measured in one run, and what is compared is taken in turns. Stop the daemon before, or it is
    measured too. It runs onnxruntime; `asd-edge engines choose` compares engines and precisions on a device.
    """
    from asd_edge.benchmark.report import measure
    from asd_edge.bundle.archive import load_bundle
    from asd_edge.bundle.variants import Precision

    view = load_bundle(bundle).at(cast(Precision, precision))  # which says what there is
    report = measure(view, channels=channels, threads=threads, seconds=seconds)
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else "\n".join(report.lines()))
