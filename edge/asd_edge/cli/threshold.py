"""asd-edge threshold."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_edge.cli.options import Author, BeforeRestart, Config, Json, Machine
from asd_edge.words import counted

if TYPE_CHECKING:
    from asd_edge.enrollment.thresholds import KnownThreshold, NewThreshold

app = typer.Typer(
    help="Look at the thresholds of a machine's conditions, and set them by hand or by a budget of false alarms.",
    no_args_is_help=True,
)


@app.command()
def show(config: Config, machine: Machine, as_json: Json = False) -> None:
    """Show each condition's threshold: how it was found, and how many false alarms a week are to be expected."""
    from asd_edge.cli.opened import open_machine_of
    from asd_edge.enrollment.thresholds import known_thresholds

    opened = open_machine_of(config, machine)
    known = known_thresholds(opened.machine, opened.bundle(), opened.store.load())
    if as_json:
        typer.echo(json.dumps([_row(threshold) for threshold in known], indent=2))
        return
    if not known:
        typer.echo(f"{machine}: nothing known; see asd-edge enroll --help")
    for threshold in known:
        typer.echo(f"{machine}: {_text(threshold)}")


@app.command("set")
def set_(
    config: Config,
    machine: Machine,
    condition: Annotated[str, typer.Option(metavar="NAME", help="Which condition, like rpm1200 or factory/source.")],
    value: Annotated[float | None, typer.Option(metavar="SCORE", help="The threshold itself.")] = None,
    alarms_per_week: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=1e-6, max=10_000.0, help="Accepted false alarms a week; the device file's without it."
        ),
    ] = None,
    hours: Annotated[
        float,
        typer.Option(metavar="N", min=0.0, max=336.0, help="Find it from the last hours, all of them normal."),
    ] = 24.0,
    yes: Annotated[bool, typer.Option("--yes", help="Change it without asking.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="The alarms in these hours were false: somebody knows that.")
    ] = False,
    before_restart: BeforeRestart = False,
    author: Author = None,
    as_json: Json = False,
) -> None:
    """Set a condition's threshold: to a value, or so that false alarms stay within a budget.

    With an hour or more of the condition's stored sound, a budget's threshold is found from that sound, which must
    have been normal; with less, from the clips of its enrollment. The past alarms that it would have changed are
    shown before anything is.
    """
    from asd_edge.cli.opened import agreed, open_machine_of, who
    from asd_edge.enrollment.thresholds import commit_threshold, propose_threshold
    from asd_edge.errors import EnrollmentError

    if value is not None and alarms_per_week is not None:
        raise EnrollmentError(
            "It is not clear what the threshold should be",
            found="--value and --alarms-per-week",
            expected="one of them",
            remedy="Leave one out.",
        )
    opened = open_machine_of(config, machine)
    name = who(author)
    with opened.store.exclusive(name):
        bundle = opened.bundle()
        opened.check_heard_with(bundle, anyhow=before_restart)
        new = propose_threshold(
            opened.machine,
            bundle,
            condition,
            value=value,
            alarms_per_week=alarms_per_week,
            history=opened.history(bundle, hours=hours),
        )
        if not as_json:
            typer.echo("\n".join([f"{machine}: {condition}", *_lines(new)]))
        same = new.calibration == new.before.calibration
        wanted = not same and (yes or (not as_json and agreed("Change it")))
        after = commit_threshold(opened.machine, bundle, new, author=name, force=force) if wanted else None
    if as_json:
        typer.echo(
            json.dumps(_row(new.before) | {"new": _new_row(new, None if after is None else after.revision)}, indent=2)
        )
    elif same:
        typer.echo("Nothing has changed: this is the threshold already.", err=True)
    elif after is None:
        typer.echo("Nothing has changed; add --yes to change it.", err=True)
    else:
        typer.echo(f"{machine}: threshold of {condition} changed (revision {after.revision})", err=True)


def _row(known: KnownThreshold) -> dict[str, Any]:
    calibration, expected = known.calibration, known.calibration.expected
    return {
        "condition": known.condition,
        "threshold": known.threshold,
        "method": calibration.method,
        "alarms_per_week": calibration.alarms_per_week,
        "expected_alarms_per_week": None if expected is None else asdict(expected),
        "clips": calibration.clips,
        "hours": round(calibration.hours, 3),
        "mean_score": calibration.mean,
        "deviation": calibration.deviation,
    }


def _new_row(new: NewThreshold, revision: int | None) -> dict[str, Any]:
    from asd_edge.enrollment.thresholds import KnownThreshold

    return _row(KnownThreshold(new.before.condition, new.calibration.threshold, new.calibration)) | {
        "vanish": [asdict(alarm) for alarm in new.vanish],
        "appear": [asdict(alarm) for alarm in new.appear],
        "refusal": new.refusal,
        "committed": revision is not None,
        "revision": revision,
    }


def _text(known: KnownThreshold) -> str:
    from asd_edge.cli.proposal_text import alarms_text, rate_text

    calibration, expected = known.calibration, known.calibration.expected
    sure = (
        "nothing can be said about false alarms"
        if expected is None
        else f"expect {alarms_text(expected.likely)}, {rate_text(expected.low)} to {rate_text(expected.high)} (90 %)"
    )
    base = f"{calibration.hours:.1f} hours" if calibration.hours >= 1.0 else counted(calibration.clips, "clip")
    return (
        f"{known.condition}: threshold {known.threshold:.4f} ({calibration.method}, from {base}; scores "
        f"{calibration.mean:.4f} ± {calibration.deviation:.4f}); {sure}"
    )


def _lines(new: NewThreshold) -> list[str]:
    from asd_edge.enrollment.thresholds import FEWEST_HOURS, KnownThreshold

    after = KnownThreshold(new.before.condition, new.calibration.threshold, new.calibration)
    lines = [f"  before  {_text(new.before)}", f"  after   {_text(after)}"]
    if new.hours:
        lines.append(f"  found from {new.hours:.1f} stored hours of this condition")
    elif new.calibration.method != "manual":
        lines.append(
            f"  found from what is known already: less than {FEWEST_HOURS:g} h of this condition is stored, and a tail "
            "needs more"
        )
    lines.append(f"  of the alarms in the past {len(new.vanish)} would vanish, and {len(new.appear)} would appear")
    if new.refusal is not None:
        lines.append(f"  REFUSED without --force: {new.refusal}")
    return lines
