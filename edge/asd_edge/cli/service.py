"""asd-edge service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from asd_edge.service import Place, Step

app = typer.Typer(
    help="Install the daemon as a systemd service, or remove it.\n\n"
    "Each step is printed before it is done, and what this system lacks for it is said before anything is changed.",
    no_args_is_help=True,
)

_CONFIG = Path("/etc/asd-edge/device.toml")
Config = Annotated[
    Path, typer.Option("--config", metavar="FILE", help="The device's configuration (TOML), as the device sees it.")
]
Root = Annotated[
    Path,
    typer.Option("--root", metavar="DIR", help="Write into another system, say an image's, and run no command."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print the steps.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite or remove files that somebody has edited, too.")]


@app.command()
def install(
    config: Config = _CONFIG,
    gpu: Annotated[bool, typer.Option("--gpu", help="Let it use a Jetson's GPU, for TensorRT.")] = False,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Whether to start it at once.")] = True,
    force: Force = False,
    dry_run: DryRun = False,
    root: Root = Path("/"),
    program: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The asd-edge that it runs; this one without it.")
    ] = None,
) -> None:
    """Install the unit for this installation and this device file, enable it, and start it.

    Again after a change of the device file's credentials, or with another version: files that it wrote are replaced,
    files that somebody has edited are not.
    """
    from asd_edge.config import load_config
    from asd_edge.service import Place, install_plan

    root, config = root.absolute(), config.absolute()
    place = _this(config, root) if program is None else Place(program.absolute(), config, root)
    _refuse_unable(place, dry_run)
    _do(install_plan(place, load_config(place.at(config)), gpu=gpu, start=start, force=force), dry_run)


@app.command()
def uninstall(config: Config = _CONFIG, force: Force = False, dry_run: DryRun = False, root: Root = Path("/")) -> None:
    """Stop the service, disable it and remove its files; what it knows, and the device file, stay."""
    from asd_edge.service import Place, uninstall_plan

    place = Place(Path("/"), config.absolute(), root.absolute())
    _refuse_unable(place, dry_run)
    _do(uninstall_plan(place, force=force), dry_run)


def _this(config: Path, root: Path) -> Place:
    """Return the place for this installation: its command, its Python, its packages."""
    import sys
    import sysconfig

    import asd_edge
    from asd_edge.service import Place

    program = Path(sysconfig.get_path("scripts"), "asd-edge")
    return Place(program, config, root, needed=(Path(sys.executable).resolve(), Path(asd_edge.__file__)))


def _refuse_unable(place: Place, dry_run: bool) -> None:
    import os

    from asd_edge.errors import ServiceError

    if dry_run or not place.is_live:
        return
    if os.geteuid() != 0:
        raise ServiceError(
            "Only root installs or removes a service",
            found=f"user {os.geteuid()}",
            expected="root",
            remedy="Run it with sudo; --dry-run shows the steps to everybody.",
        )
    if not Path("/run/systemd/system").is_dir():
        raise ServiceError(
            "There is no systemd here that could be told",
            found="a system that was started by something else: no /run/systemd/system",
            expected="a system started by systemd",
            remedy="For an image of such a system add --root DIR.",
        )


def _do(steps: list[Step], dry_run: bool) -> None:
    from asd_edge.service import perform

    for step in steps:
        typer.echo(step)
        if not dry_run:
            perform(step)
    if dry_run:
        typer.echo("Nothing was done (--dry-run).")
