"""asd-edge watch."""

from __future__ import annotations

import sys
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import typer

from asd_edge.cli.running import RunningConfig, no_daemon, state_folder

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from asd_edge.status import AlarmStatus, MachineStatus, Status

_EVERY_S = 1.0
_BAR = 16  # columns; the limit is in the middle
_COLOURS = {
    "normal": "green",
    "maintenance_required": "blue",
    "check_function": "cyan",
    "out_of_specification": "yellow",
    "failure": "bold red",
}


def watch(config: RunningConfig = None) -> None:
    """Show live how the running daemon hears its machines; Ctrl-C ends it.

    Without a terminal it prints a line a second. Ends with 3 when no daemon runs at the beginning; one that goes away
    is waited for.
    """
    from asd_edge.control import NoDaemonError
    from asd_edge.control import status as ask

    folder = state_folder(config)
    try:
        first = ask(folder)
        _live(folder, first) if sys.stdout.isatty() else _lines(folder, first)
    except NoDaemonError as error:
        no_daemon(error)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _lines(folder: Path, status: Status | None) -> None:
    from asd_edge.cli.status_text import machine_line

    while True:
        if status is None:
            typer.echo("no daemon answers")
        else:
            machines = "; ".join(
                f"{machine.machine} {machine_line(machine, status.time)}" for machine in status.machines
            )
            waiting = ", ".join(f"{d.name} {d.outbox.waiting} waiting" for d in status.destinations)
            typer.echo(f"{status.time} {machines}; {waiting}")
        sleep(_EVERY_S)
        status = _ask(folder)


def _live(folder: Path, status: Status | None) -> None:
    from rich.live import Live

    with Live(screen_of(status), auto_refresh=False, screen=True) as live:
        while True:
            sleep(_EVERY_S)
            live.update(screen_of(_ask(folder)), refresh=True)


def _ask(folder: Path) -> Status | None:
    """Return the status; None while no daemon answers, which may be starting again."""
    from asd_edge.control import status as ask
    from asd_edge.errors import StateError

    try:
        return ask(folder)
    except StateError:
        return None


def screen_of(status: Status | None) -> RenderableType:
    """Return what the terminal shows."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from asd_edge.cli.status_text import destination_line, duration, words

    if status is None:
        return Text("No daemon answers; it is asked again every second. Ctrl-C ends this.", style="bold red")
    table = Table(box=None, padding=(0, 1), expand=False)
    table.add_column("machine", overflow="ellipsis", no_wrap=True, max_width=14)
    table.add_column("state", no_wrap=True, max_width=12, overflow="ellipsis")
    table.add_column("dBFS", justify="right")
    table.add_column("score ╷ limit", width=_BAR, no_wrap=True)
    table.add_column("of limit", justify="right", no_wrap=True)
    table.add_column("alarm", no_wrap=True)
    for machine in status.machines:
        table.add_row(*_row(machine))
    head = f"{status.device}: {words(status.health)}, up {duration(status.process.uptime_s)}"
    needs = [Text(f"- {line}", style="yellow") for line in status.needs_a_person]
    links = [Text(destination_line(destination)) for destination in status.destinations]
    return Group(Text(head, style="bold"), Text(), table, Text(), *links, *needs)


def _row(machine: MachineStatus) -> tuple[Text, ...]:
    from rich.text import Text

    from asd_edge.cli.status_text import words

    window = machine.window
    state = machine.state if machine.health == "normal" else words(machine.health)
    share = None
    if window is not None and window.score is not None and window.threshold is not None and window.threshold > 0.0:
        share = window.score / window.threshold
    heard = "" if window is None else words(window.state)
    return (
        Text(machine.machine),
        Text(state, style=_COLOURS.get(machine.health, "yellow")),
        Text("" if window is None else f"{window.level_dbfs:.1f}"),
        Text(heard) if share is None else _bar(share),
        Text("" if share is None else f"{100.0 * share:.0f} %"),
        _alarm(machine.alarm),
    )


def _alarm(alarm: AlarmStatus | None) -> Text:
    from rich.text import Text

    if alarm is None:
        return Text("")
    if alarm.suppressed is not None:
        return Text("suppressed", style="yellow")
    return Text("ALARM" if alarm.severity is None else f"ALARM {alarm.severity}", style="bold red")


def _bar(share: float) -> Text:
    """Return a bar that reaches the middle at the limit."""
    from rich.text import Text

    half = _BAR // 2
    full = round(min(max(share, 0.0), 2.0) * half)
    text = "█" * full + " " * (_BAR - full)
    if full <= half:
        text = f"{text[:half]}╎{text[half + 1 :]}"
    return Text(text, style="red" if share > 1.0 else "green")
