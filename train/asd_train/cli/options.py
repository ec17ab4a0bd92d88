"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Data = Annotated[
    list[str],
    typer.Option(
        "--data",
        help="Data set in a DCASE layout, DIR or PREFIX=DIR, or clips of one machine, MACHINE/SECTION=DIR; "
        "may be given several times, all are taken together (docs/data.md).",
    ),
]
Accelerator = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "32-true", "bf16-mixed"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
GroundTruth = Annotated[
    list[Path] | None,
    typer.Option(
        "--ground-truth",
        help="Folder of the organisers' evaluator, for an evaluation set whose names hide the labels; may be repeated.",
    ),
]
DomainsChoice = Literal["nearest", "known"]
DOMAINS_HELP = (
    "What judges a test clip: the nearest condition, or the condition of the clip's own domain, "
    "which the 2021 challenge tells and later ones hide."
)
Domains = Annotated[DomainsChoice, typer.Option("--domains", help=DOMAINS_HELP)]
