"""asd-edge reload."""

from __future__ import annotations

import typer

from asd_edge.cli.running import RunningConfig, no_daemon, state_folder


def reload(config: RunningConfig = None) -> None:
    """Let the running daemon read its device file anew, as SIGHUP does, and wait until that is in force.

    Machines and destinations that are the same go on untouched. A file that cannot be used changes nothing: the command
    then says why, and ends with 1; with 3 when no daemon runs.
    """
    from asd_edge.control import NoDaemonError
    from asd_edge.control import reload as ask

    try:
        ask(state_folder(config))
    except NoDaemonError as error:
        no_daemon(error)
    typer.echo("The device file is in force.")
