"""The asd-export command: from a training run to what a device gets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asd_edge.terminal import missing_extra, run_command

app = typer.Typer(help="Turn training runs into bundles for devices.", no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """Keep `bundle` a subcommand while it is the only one."""


@app.command()
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
) -> None:
    """Export the network to ONNX, compute centres and thresholds with it, write one file for the device."""
    from asd_train.data.dcase import read_datasets
    from asd_train.progress import Progress
    from asd_train.run import load_runs, run_for

    from .bundle import export_bundle

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
    machines = ", ".join(machine.key for machine in made.manifest.machines)
    typer.echo(f"Wrote {out} ({out.stat().st_size / 1e6:.2f} MB; machines: {machines}).")
    typer.echo(f"Next: asd-edge score --bundle {out} --factory {made.manifest.machines[0].key} CLIP.wav")


def main() -> None:
    """Run the asd-export command."""
    try:
        import onnx  # noqa: F401 — asked here so that a base install gets a clear answer
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        missing_extra("asd-export", "export", error.name or "torch")
    run_command(app)
