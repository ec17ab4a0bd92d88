"""asd-edge run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_edge.cli.options import Config

if TYPE_CHECKING:
    from asd_edge.config import DeviceConfig


def run(
    config: Config,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Only try the configuration, the bundle, every source and every broker; exit 1 if one fails.",
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more than most people want to read.")] = False,
) -> None:
    """Listen to the configured machines and publish their scores and alarms until stopped.

    Ctrl-C or SIGTERM stops it cleanly. The broker may come later or go away: the connection is tried again
    until it stands. Conditions enrolled meanwhile are picked up without a restart. When every source has ended
    (recordings do), the command ends too: with 0, or with 1 if a source failed or the broker never confirmed
    what it was sent.
    """
    from asd_edge.config import load_config

    _log_with(logging.DEBUG if verbose else logging.INFO)
    device = load_config(config)
    raise typer.Exit(_check(device) if check else _run(device, config))


def _log_with(level: int) -> None:
    from asd_edge.daemon.journal import JournalHandler, connected_to_journal

    if connected_to_journal():
        logging.basicConfig(level=level, handlers=[JournalHandler()], format="%(message)s")
    else:
        logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")


def _run(device: DeviceConfig, path: Path) -> int:
    from asd_edge.daemon.heap import steady_heap

    steady_heap()  # before anything else is imported that may start threads
    from asd_edge.daemon.supervisor import Daemon

    return Daemon(device, path).run()


def _check(device: DeviceConfig) -> int:
    from asd_edge.daemon.check import check

    failed = 0
    for finding in check(device):
        if finding.error is None:
            typer.echo(f"ok      {finding.what}: {finding.result}")
        else:
            failed += 1
            typer.echo(f"FAILED  {finding.what}: {finding.error}")
    return 1 if failed else 0
