"""Which running daemon a command means."""

from __future__ import annotations

import re
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


_STATE_DIR = re.compile(r"""^\s*state_dir\s*=\s*(["'])(.+?)\1""", re.MULTILINE)


def state_folder(config: Path | None) -> Path:
    """Return the state folder of the daemon; a device file that cannot be used is asked for it all the same.

    The daemon goes on with the file before, and is the one to say what is wrong with this one.
    """
    from asd_edge.config import DeviceTable, load_config
    from asd_edge.errors import ConfigError

    usual = DeviceTable(id="any").state_dir
    if config is None:
        return usual
    try:
        return load_config(config).device.state_dir
    except ConfigError:
        try:
            found = _STATE_DIR.search(config.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return usual
        return usual if found is None else config.absolute().parent / found[2]


def no_daemon(error: AsdEdgeError) -> NoReturn:
    """Say that no daemon runs, and exit."""
    print(f"error: {error}", file=sys.stderr)
    raise typer.Exit(NO_DAEMON)
