"""Which running daemon a command means."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from asd_edge.errors import AsdEdgeError, ConfigError, StateError

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
    """Return the state folder of the daemon that uses this device file.

    The daemon goes on with the file as it was before, and is the one to say what is wrong with this one; so neither a
    file that cannot be used nor one with another state folder by now may hide it.

    Raises:
        ConfigError: there is no such file.
    """
    usual = usual_folder()
    if config is None:
        return usual
    if not os.path.exists(config):
        raise ConfigError(
            f"There is no device file {config}",
            found="no such file",
            expected="the device file of the daemon",
            remedy="Correct --config.",
        )
    folder = _folder_in(config)
    return usual if folder != usual and _is_read_at(usual, config) else folder


def usual_folder() -> Path:
    """Return the state folder of a device file that names none."""
    from asd_edge.config import DeviceTable

    return DeviceTable(id="any").state_dir


def _folder_in(config: Path) -> Path:
    from asd_edge.config import load_config

    try:
        return load_config(config).device.state_dir
    except ConfigError:
        try:
            found = _STATE_DIR.search(config.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return usual_folder()
        return usual_folder() if found is None else config.absolute().parent / found[2]


def _is_read_at(folder: Path, config: Path) -> bool:
    """Say whether the daemon of a state folder runs with this device file."""
    from asd_edge.control import status

    try:
        return Path(status(folder).file.path) == config.absolute()
    except StateError:
        return False


def no_daemon(error: AsdEdgeError) -> NoReturn:
    """Say that no daemon runs, and exit."""
    print(f"error: {error}", file=sys.stderr)
    raise typer.Exit(NO_DAEMON)
