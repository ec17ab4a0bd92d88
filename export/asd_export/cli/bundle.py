"""asd-export bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asd_edge.bundle.variants import PRECISIONS, Precision
from asd_edge.errors import DataError
from asd_export.cli.extra import need_the_extra


def bundle(
    run: Annotated[Path, typer.Option(help="Folder of a training run.")],
    out: Annotated[Path, typer.Option(help="Bundle to write, usually NAME.asd.")],
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Data sets whose machines get centres; those of the run by default."),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(help="Only this machine: needed where the recipe trains or scores each machine by itself."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model; the file's name by default.")] = None,
    served_only: Annotated[
        bool,
        typer.Option(
            "--served-only",
            help="Leave out the segment graph that travels beside a stream graph for comparison: about half the size.",
        ),
    ] = False,
    precision: Annotated[
        str, typer.Option(metavar="LIST", help="Precisions to try: fp32 is always there, fp16 and int8 if they pass.")
    ] = "fp32,fp16,int8",
    release: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number that rises with each release; by default YYYYMMDDhhmm of now."),
    ] = None,
    sign_with: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="Sign the bundle with this private key, as `asd-export sign` does."),
    ] = None,
) -> None:
    """Export the network to ONNX, compute centres and thresholds with each graph, write one file for the device.

    A graph that does not embed or judge as the trained network does is not packed: the bundle is written without it,
    what went wrong is shown layer by layer, and the command ends with 1. Test clips in the data sets, if there are any,
    say whether fp16 and int8 judge as fp32 does.
    """
    need_the_extra()
    from asd_edge.keys import read_private_key
    from asd_export.accept import packed, table
    from asd_export.bundle import export_bundle
    from asd_export.sign import sign_bundle
    from asd_export.variants import REMEDIES, LeftOut
    from asd_train.data.dcase import read_datasets
    from asd_train.progress import Progress
    from asd_train.run import load_runs, run_for

    key = read_private_key(sign_with) if sign_with else None  # what is wrong with it is said before the long part
    trained = run_for(machine, load_runs(run))
    clips = read_datasets(data or trained.datasets)
    left_out: list[LeftOut] = []
    made = export_bundle(
        trained,
        clips,
        out,
        name=name or out.stem,
        machine=machine,
        release=release,
        precisions=_precisions(precision),
        both_graphs=not served_only,
        left_out=left_out.append,
        progress=Progress(),
    )
    if key is not None:
        sign_bundle(out, key, out)
    machines = ", ".join(machine.key for machine in made.machines)
    typer.echo(f"Wrote {out} ({out.stat().st_size / 1e6:.2f} MB; machines: {machines}).")
    typer.echo(f"Next: asd-edge score --bundle {out} --factory {made.machines[0].key} CLIP.wav")
    typer.echo(table(packed(made)))
    for one in left_out:
        typer.echo(f"Not packed: {one.kind}/{one.precision}: {one.why}\n{one.layers}", err=True)
        typer.echo(f"  remedy: {REMEDIES[one.precision]}", err=True)
    if left_out:
        raise typer.Exit(1)


def _precisions(text: str) -> tuple[Precision, ...]:
    chosen = tuple(part.strip() for part in text.split(","))
    unknown = [part for part in chosen if part not in PRECISIONS]
    if unknown:
        raise DataError(
            "There is no such precision",
            found=repr(unknown[0]),
            expected=f"some of {', '.join(PRECISIONS)}, with commas between them",
            remedy="Correct --precision.",
        )
    return tuple(precision for precision in PRECISIONS if precision in chosen)
