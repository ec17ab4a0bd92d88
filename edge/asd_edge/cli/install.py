"""asd-edge install."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_edge.cli.options import Author, Config, Json

if TYPE_CHECKING:
    from asd_edge.config import DeviceConfig
    from asd_edge.serving.install import Outcome
    from asd_edge.serving.installed import Installed
    from asd_edge.serving.status import Unusable


def install(
    config: Config,
    bundle: Annotated[Path | None, typer.Argument(metavar="BUNDLE", help="The bundle to install.")] = None,
    previous: Annotated[
        bool, typer.Option("--previous", help="Go back to the bundle before the present one, whatever its release.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="Only say what is installed, and who signed it.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Install all the same what is not newer than those before, or was never here."),
    ] = False,
    enroll_again: Annotated[
        bool,
        typer.Option("--enroll-again", help="Install although enrolled conditions do not fit it; enroll them anew."),
    ] = False,
    author: Author = None,
    as_json: Json = False,
) -> None:
    """Put another bundle in the place that `bundle.path` of the device file names.

    Everything is checked first: the file, its signature, its release, its golden segments on this machine, and that it
    knows what the device file and the enrolled conditions ask for. Then it takes the place of the present one, which
    stays beside it as NAME.previous.asd. Whatever happens, there is a whole bundle, the old or the new one. A running
    daemon goes on with the old one until it is restarted.
    """
    from asd_edge.cli.opened import who
    from asd_edge.config import load_config
    from asd_edge.serving import install as serving

    if (bundle is not None) + previous + listed != 1:
        raise typer.BadParameter("give a BUNDLE, or --previous, or --list")
    device = load_config(config)
    if listed:
        _list(device, as_json)
        return
    if bundle is not None:
        done = serving.install(bundle, device, author=who(author), force=force, enroll_again=enroll_again)
    else:
        done = serving.take_back(device, author=who(author), force=force, enroll_again=enroll_again)
    for found in done.untrue:
        typer.echo(f"warning: not true on this device, and not to be served: {found}", err=True)
    if as_json:
        told = {"present": done.present.model_dump(mode="json"), "changed": done.changed, "enroll_again": done.idle}
        told["untrue"] = list(done.untrue)
        typer.echo(json.dumps(told, indent=1))
    else:
        _tell(done, device, config)


def _tell(done: Outcome, device: DeviceConfig, config: Path) -> None:
    from asd_edge.bundle.trust import previous_of

    path = Path(device.bundle.path)
    if not done.changed:
        typer.echo(f"{done.present} is installed already.")
        return
    typer.echo(f"{'Went back to' if done.present.how == 'taken back' else 'Installed'} {done.present}.")
    if done.replaced is not None:
        typer.echo(f"Before: {done.replaced}. To go back: asd-edge install --previous --config {config}")
    if done.dropped is not None:
        back = "; --previous still goes back to the one before it" if previous_of(path).exists() else ""
        typer.echo(f"The file that was there is not kept ({done.dropped}){back}.")
    for machine, names in done.idle.items():
        typer.echo(f"Enroll again for {machine}: {', '.join(names)}.")
    if _daemon_runs(device):
        typer.echo("The daemon hears with the bundle before until it is restarted: systemctl restart asd-edge")


def _daemon_runs(device: DeviceConfig) -> bool:
    from asd_edge.control import NoDaemonError, ping
    from asd_edge.errors import StateError

    try:
        ping(device.device.state_dir)
    except NoDaemonError:
        return False
    except StateError:  # one that does not answer this user
        return True
    return True


def _list(device: DeviceConfig, as_json: bool) -> None:
    from asd_edge.serving.status import status

    found = status(device)
    if as_json:
        told = {"installed": _row(found.present), "previous": _row(found.before), "highest_release": found.highest}
        typer.echo(json.dumps(told, indent=1))
        return
    typer.echo(f"installed: {_present_text(found.present)}")
    typer.echo(f"previous: {_before_text(found.before)}")
    if found.highest is not None:
        typer.echo(f"highest release: {found.highest}")


def _row(entry: Installed | Unusable | None) -> dict[str, Any] | None:
    from asd_edge.serving.status import Unusable

    if isinstance(entry, Unusable):
        known = None if entry.known is None else entry.known.model_dump(mode="json")
        return {"cannot_be_used": entry.why, "untrusted": entry.untrusted, "last_known": known}
    return None if entry is None else entry.model_dump(mode="json")


def _present_text(entry: Installed | Unusable | None) -> str:
    from asd_edge.serving.status import Unusable

    if isinstance(entry, Unusable):
        known = "none" if entry.known is None else f"{entry.known.name}, release {entry.known.release}"
        return f"{'not trusted' if entry.untrusted else 'damaged'} ({entry.why}; last known: {known})"
    return _entry_text(entry)


def _before_text(entry: Installed | Unusable | None) -> str:
    from asd_edge.serving.status import Unusable

    if isinstance(entry, Unusable):
        return f"{entry.known or 'a file'} cannot be used: {entry.why}"
    return _entry_text(entry)


def _entry_text(entry: Installed | None) -> str:
    if entry is None:
        return "none"
    if entry.how == "found":
        return f"{entry}; found, not installed by asd-edge install"
    return f"{entry}; {entry.how} {entry.time_utc} by {entry.author}"
