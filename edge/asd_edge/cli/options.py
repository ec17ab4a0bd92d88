"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="The device's configuration (TOML).")]
Machine = Annotated[str, typer.Option("--machine", metavar="ID", help="A machine's id in the configuration.")]
Channel = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="Which channel of the clips to hear, from 0; without it, the machine's."),
]
SourceRate = Annotated[
    int | None,
    typer.Option(
        metavar="HZ", min=1, help="Say that the clips have this sample rate (else the machine's); they are resampled."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text (score: one object a line).")]
BeforeRestart = Annotated[
    bool,
    typer.Option("--before-restart", help="Change it although the daemon hears with another bundle until its restart."),
]
Author = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Whose name stands under the change; the user at this terminal without."),
]
