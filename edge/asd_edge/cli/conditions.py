"""asd-edge conditions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_edge.cli.options import Config, Json

if TYPE_CHECKING:
    from asd_edge.bundle.site import SiteState, SiteStore


def conditions(
    config: Config,
    machine: Annotated[
        str | None, typer.Option(metavar="ID", help="A machine's id in the configuration; all without it.")
    ] = None,
    remove: Annotated[
        str | None, typer.Option(metavar="NAME", help="Forget this condition of the machine; it is normal no more.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the operating conditions that have been enrolled on this device, or remove one.

    A running daemon goes on without a removed condition within seconds. Factory knowledge is in the bundle and
    cannot be removed here. With --json, one object for each machine, in a list.
    """
    from asd_edge.bundle.site import SiteStore
    from asd_edge.config import load_config
    from asd_edge.errors import ConfigError

    device = load_config(config)
    if remove is not None:
        if machine is None:
            raise ConfigError(
                "It is not clear where to remove the condition",
                found=f"--remove {remove} without --machine",
                expected="--machine ID",
                remedy=f"Name one of {', '.join(known.id for known in device.machines)}.",
            )
        _remove(SiteStore(device.device.state_dir, device.machine(machine).id), machine, remove)
    chosen = device.machines if machine is None else (device.machine(machine),)
    states = {known.id: SiteStore(device.device.state_dir, known.id).load() for known in chosen}
    if as_json:
        typer.echo(json.dumps([_row(name, state) for name, state in states.items()], indent=2))
        return
    for name, state in states.items():
        _list(name, state)


def _remove(store: SiteStore, machine: str, name: str) -> None:
    from asd_edge.errors import StateError

    with store.exclusive():
        state = store.load()
        names = [condition.name for condition in state.conditions]
        if name not in names:
            raise StateError(
                f"The machine {machine} has no such condition",
                found=repr(name),
                expected=f"one of {', '.join(names)}" if names else "nothing, as nothing is enrolled",
                remedy=f"Look at what there is: asd-edge conditions --machine {machine} --config FILE.",
            )
        after = store.save(state.without_condition(name))
    typer.echo(f"{machine}: condition {name} removed (revision {after.revision})", err=True)


def _row(machine: str, state: SiteState) -> dict[str, Any]:
    rows = [condition.model_dump(mode="json", exclude={"arrays"}) for condition in state.conditions]
    return {"machine": machine, "revision": state.revision, "conditions": rows}


def _list(machine: str, state: SiteState) -> None:
    if not state.conditions:
        typer.echo(f"{machine}: nothing enrolled; see asd-edge enroll --help")
    for condition in state.conditions:
        typer.echo(
            f"{machine}: {condition.name}: threshold {condition.threshold:.4f}, {len(condition.clips)} clips, "
            f"enrolled {condition.enrolled_utc}"
        )
