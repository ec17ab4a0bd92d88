"""A machine of a device file, opened for a command that changes or shows what is enrolled."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time

import typer

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site_store import SiteStore
from asd_edge.bundle.trust import load_trusted
from asd_edge.config import DeviceConfig, MachineTable, load_config
from asd_edge.control import flush_history, serving
from asd_edge.enrollment.propose import Machine
from asd_edge.errors import AsdEdgeError, EnrollmentError, StateError
from asd_edge.history.format import Stretch, history_path
from asd_edge.history.reader import read_history
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.serving.served import known_precision, served_bundle

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenedMachine:
    """`config`: the device file. `table`: the machine in it. `machine`: what enrollment needs to know of it."""

    config: Path
    device: DeviceConfig
    table: MachineTable
    machine: Machine

    @property
    def store(self) -> SiteStore:
        """Its site state."""
        return self.machine.store

    def bundle(self) -> Bundle:
        """Load the bundle that the device runs, seen as the variant that it serves.

        Raises:
            BundleError: it cannot be used, or is not trusted.
        """
        return served_bundle(self.device, tell=partial(typer.echo, err=True))

    def check_heard_with(self, bundle: Bundle, *, anyhow: bool) -> None:
        """Hold the bundle to the one that the running daemon hears with, if there is a daemon that says.

        Args:
            bundle: that is about to be enrolled with.
            anyhow: only say so.

        Raises:
            StateError: the daemon hears with other embeddings until it is restarted, and will not take the change.
        """
        try:
            running = serving(self.device.device.state_dir)
        except StateError:  # none runs, or it is of a version before
            return
        if running.embedding_id == bundle.embedding_id:
            return
        what = "The daemon still hears with another bundle or precision, and takes no change before it is restarted"
        if anyhow:
            typer.echo(f"{what}: systemctl restart asd-edge", err=True)
            return
        raise StateError(
            what,
            found=f"a daemon that hears with {running}",
            expected=f"{bundle.manifest.name} ({bundle.bundle_id[:12]}), {bundle.precision}, as the device file says",
            remedy="Restart it first (systemctl restart asd-edge); or have it wait for the restart, with "
            "--before-restart.",
        )

    def history(self, bundle: Bundle, *, hours: float) -> list[Stretch]:
        """Return what the daemon has heard of the machine in the last hours, newest included.

        Without a daemon that runs, or with embeddings of another bundle, less or nothing is known: that is no reason
        not to enroll.
        """
        if hours <= 0.0:
            return []
        state_dir = self.device.device.state_dir
        with suppress(AsdEdgeError):
            flush_history(state_dir)
        try:
            since = time() - hours * 3600.0
            return read_history(history_path(state_dir, self.table.id), bundle.embedding_id, since)
        except StateError as error:
            _log.warning("The past is not compared. %s", error)
            return []


def open_machine_of(config: Path, machine: str) -> OpenedMachine:
    """Read the device file and find the machine in it.

    Raises:
        ConfigError: the file cannot be used, or has no such machine.
    """
    device = load_config(config)
    table = device.machine(machine)
    return OpenedMachine(
        config,
        device,
        table,
        Machine(
            store=SiteStore(device.device.state_dir, machine),
            decision=DecisionSpec(**table.decision.model_dump()),
            factory=table.factory_key,
            idle_below_dbfs=table.idle_below_dbfs,
            alarms_per_week=table.alarms_per_week,
        ),
    )


def embedding_in_use(device: DeviceConfig) -> str | None:
    """Return the kind of embedding that the device file's bundle gives; None where that cannot be told."""
    try:
        bundle = load_trusted(device.bundle)
        precision = known_precision(device, bundle)
        return (bundle if precision is None else bundle.at(precision)).embedding_id
    except AsdEdgeError:  # a list of what is enrolled needs no bundle
        return None


def who(author: str | None) -> str:
    """Return whose name stands under a change: the one given, or the user at this terminal.

    Raises:
        EnrollmentError: a name that is empty, too long, or holds what would look like another line.
    """
    if author is not None:
        if not (len(author.strip()) > 0 and len(author) <= 200 and author.isprintable()):
            raise EnrollmentError(
                "The author's name cannot be used",
                found=repr(author[:60]),
                expected="1 to 200 printable characters",
                remedy="Give a name, like --author alice@hall-3.",
            )
        return author
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:200]


def agreed(question: str) -> bool:
    """Ask the person at the terminal; nobody agrees where input does not come from one, or at Ctrl-C."""
    if not sys.stdin.isatty():
        return False
    try:
        return typer.confirm(question, default=False, err=True)
    except typer.Abort:
        return False
