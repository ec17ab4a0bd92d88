"""Which running daemon a command means."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from asd_edge.errors import AsdEdgeError

NO_DAEMON = 3
"""Exit code when no daemon runs, as systemctl's."""

RunningConfig = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The daemon's device file; without it, the one that uses /var/lib/asd-edge."
    ),
]


def state_folder(config: Path | None) -> Path:
    """Return the state folder of the daemon.

    Raises:
        ConfigError: the device file cannot be used.
    """
    from asd_edge.config import DeviceTable, load_config

    return DeviceTable(id="any").state_dir if config is None else load_config(config).device.state_dir


def no_daemon(error: AsdEdgeError) -> NoReturn:
    """Say that no daemon runs, and exit."""
    print(f"error: {error}", file=sys.stderr)
    raise typer.Exit(NO_DAEMON)
