"""The commands of asd-train."""

from __future__ import annotations

import typer

from asd_train.cli.compare import compare
from asd_train.cli.evaluate import evaluate
from asd_train.cli.fit import fit
from asd_train.cli.imprint import imprint
from asd_train.cli.quantise_aware import quantise_aware
from asd_train.cli.recipes import recipes
from asd_train.cli.report import report
from asd_train.cli.reproduce import reproduce
from asd_train.cli.simulate import simulate

app = typer.Typer(
    name="asd-train",
    help="Train and evaluate the networks that hear machines.",
    no_args_is_help=True,
    add_completion=False,
)
for command in (simulate, recipes, fit, imprint, quantise_aware, evaluate, compare, report, reproduce):
    app.command()(command)
