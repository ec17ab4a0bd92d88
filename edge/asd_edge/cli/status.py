"""asd-edge status."""

from __future__ import annotations

import typer

from asd_edge.cli.options import Json
from asd_edge.cli.running import RunningConfig, no_daemon, state_folder


def status(config: RunningConfig = None, as_json: Json = False) -> None:
    """Print how the running daemon does: machines, brokers, what waits for them, and what needs a person.

    Ends with 0 when all is normal, with 1 when something needs a person, and with 3 when no daemon runs.
    """
    from asd_edge.cli.status_text import status_text
    from asd_edge.control import NoDaemonError
    from asd_edge.control import status as ask

    try:
        found = ask(state_folder(config))
    except NoDaemonError as error:
        no_daemon(error)
    typer.echo(found.model_dump_json(indent=1) if as_json else status_text(found))
    if found.needs_a_person:
        raise typer.Exit(1)
