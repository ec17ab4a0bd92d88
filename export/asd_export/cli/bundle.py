"""asd-export bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    sign_with: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="Sign the bundle with this private key, as `asd-export sign` does."),
    ] = None,
) -> None:
    """Export the network to ONNX, compute centres and thresholds with it, write one file for the device."""
    need_the_extra()
    from asd_edge.keys import read_private_key
    from asd_export.bundle import export_bundle
    from asd_export.sign import sign_bundle
    from asd_train.data.dcase import read_datasets
    from asd_train.progress import Progress
    from asd_train.run import load_runs, run_for

    key = read_private_key(sign_with) if sign_with else None  # what is wrong with it is said before the long part
    trained = run_for(machine, load_runs(run))
    clips = read_datasets(data or trained.datasets)
    made = export_bundle(
        trained,
        clips,
        out,
        name=name or out.stem,
        machine=machine,
        both_graphs=not served_only,
        progress=Progress(),
    )
    if key is not None:
        sign_bundle(out, key, out)
    machines = ", ".join(machine.key for machine in made.manifest.machines)
    typer.echo(f"Wrote {out} ({out.stat().st_size / 1e6:.2f} MB; machines: {machines}).")
    typer.echo(f"Next: asd-edge score --bundle {out} --factory {made.manifest.machines[0].key} CLIP.wav")
