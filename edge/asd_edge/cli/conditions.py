"""asd-edge conditions."""

from __future__ import annotations

import json

import typer

from asd_edge.cli.options import Config, Json, Machine


def conditions(config: Config, machine: Machine, as_json: Json = False) -> None:
    """List the operating conditions that have been enrolled for a machine on this device."""
    from asd_edge.bundle.site import SiteStore
    from asd_edge.config import load_config

    device = load_config(config)
    state = SiteStore(device.device.state_dir, device.machine(machine).id).load()
    if as_json:
        rows = [condition.model_dump(mode="json", exclude={"centres"}) for condition in state.conditions]
        typer.echo(json.dumps({"machine": machine, "revision": state.revision, "conditions": rows}, indent=2))
        return
    if not state.conditions:
        typer.echo(f"{machine}: nothing enrolled yet; see asd-edge enroll --help")
    for condition in state.conditions:
        typer.echo(
            f"{condition.name}: threshold {condition.threshold:.4f}, {len(condition.clips)} clips, "
            f"enrolled {condition.enrolled_utc}"
        )
