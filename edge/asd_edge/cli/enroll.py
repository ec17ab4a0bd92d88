"""asd-edge enroll."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_edge.cli.options import Author, BeforeRestart, Channel, Config, Json, Machine, SourceRate

if TYPE_CHECKING:
    from asd_edge.bundle.bundle import Bundle
    from asd_edge.cli.opened import OpenedMachine
    from asd_edge.enrollment.clips import RecordedClip
    from asd_edge.enrollment.proposal import Proposal
    from asd_edge.enrollment.propose import Proposed

    Sound = tuple[int, Iterable[RecordedClip]]


def enroll(
    config: Config,
    machine: Machine,
    condition: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What to call it, like rpm1200; the same name again replaces it."),
    ] = None,
    clips: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CLIP...", help="Recordings, best three or more; ten seconds each is a good length."),
    ] = None,
    record: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=10.0, max=600.0, help="Record the machine's source now, instead."),
    ] = None,
    last: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=10.0, max=600.0, help="Take what the running daemon has just heard."),
    ] = None,
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="The clips hold several kinds of healthy sound: each gets a centre of its own."),
    ] = False,
    propose_only: Annotated[bool, typer.Option("--propose", help="Only propose; nobody is asked.")] = False,
    commit_id: Annotated[
        str | None, typer.Option("--commit", metavar="ID", help="Commit a proposal that was kept.")
    ] = None,
    discard_id: Annotated[
        str | None, typer.Option("--discard", metavar="ID", help="Forget a proposal that was kept.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Commit without asking.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Commit clips that sound anomalous: somebody knows that the machine is healthy."),
    ] = False,
    before_restart: BeforeRestart = False,
    hours: Annotated[
        float, typer.Option(metavar="N", min=0.0, max=336.0, help="How much of the past to show the effect on.")
    ] = 24.0,
    picture_file: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Write the picture (SVG) here too; one is beside the proposal."),
    ] = None,
    channel: Channel = None,
    source_rate: SourceRate = None,
    author: Author = None,
    as_json: Json = False,
) -> None:
    """Teach the device how a machine sounds when it runs normally in an operating condition.

    Give clips of healthy sound, best some minutes apart; or let --last take what the running daemon has just heard,
    or --record the machine's source (a microphone serves one program at a time: stop `asd-edge run` first). What the
    condition would change is shown before it is committed; nothing changes without your yes, --yes, or a later
    --commit. A running daemon picks the condition up within a second. The bundle is not changed; the recordings are
    not kept.
    """
    from asd_edge.cli.opened import open_machine_of, who
    from asd_edge.cli.proposal_text import ONE_RECORDING, later_text, proposal_text, to_json
    from asd_edge.enrollment.proposal import discard, find, picture_path

    if propose_only and (yes or commit_id is not None or discard_id is not None):
        raise typer.BadParameter("--propose only proposes: leave --yes, --commit and --discard out")
    _check_usage(
        clips, record, last, condition, commit_id, discard_id, overridden=(channel, source_rate) != (None, None)
    )
    if condition is not None and (commit_id is not None or discard_id is not None):
        raise typer.BadParameter("a proposal has its --condition already")
    opened = open_machine_of(config, machine)
    name = who(author)
    if discard_id is not None:
        discard(opened.store, discard_id)
        typer.echo(f"{machine}: proposal {discard_id} discarded", err=True)
        return
    with opened.store.exclusive(name):  # to the end: the device says meanwhile that somebody is at work on it
        bundle = opened.bundle()
        opened.check_heard_with(bundle, anyhow=before_restart)
        if commit_id is not None:
            _commit(opened, bundle, find(opened.store, commit_id), author=name, force=force, as_json=as_json)
            return
        assert condition is not None  # _check_usage
        sound = _sound(opened, bundle, clips, record, last, channel, source_rate)
        proposed = _propose(opened, bundle, condition, sound, mixed, name, hours, picture_file)
        proposal = proposed.proposal
        if as_json and not yes:
            typer.echo(json.dumps(to_json(proposal), indent=2))
            return
        typer.echo(proposal_text(proposal, force=force), err=as_json)
        if record is not None or last is not None:
            typer.echo(ONE_RECORDING, err=True)
        if yes or (not propose_only and _agreed(proposal, force=force)):
            _commit(opened, bundle, proposal, author=name, force=force, as_json=as_json)
        else:
            typer.echo(later_text(proposal, picture_file or picture_path(opened.store, proposal.id), config), err=True)


def _check_usage(
    clips: list[Path] | None,
    record: float | None,
    last: float | None,
    condition: str | None,
    commit_id: str | None,
    discard_id: str | None,
    *,
    overridden: bool,
) -> None:
    """Refuse calls that leave open what is meant, before minutes are spent on recording."""
    from asd_edge.enrollment.checks import check_name
    from asd_edge.enrollment.clips import MOST_CLIPS, too_many_clips
    from asd_edge.errors import EnrollmentError

    given = {
        "clips": bool(clips),
        "--record": record is not None,
        "--last": last is not None,
        "--commit": commit_id is not None,
        "--discard": discard_id is not None,
    }
    named = [what for what, is_given in given.items() if is_given]
    if len(named) != 1:
        raise EnrollmentError(
            "It is not clear what to enroll",
            found=" and ".join(named) or "neither clips nor --record nor --last",
            expected="clips, --record SECONDS, --last SECONDS, --commit ID or --discard ID",
            remedy="Give one of them.",
        )
    if condition is not None:
        check_name(condition)
    elif named[0] in ("clips", "--record", "--last"):
        raise EnrollmentError(
            "The condition has no name",
            found=f"{named[0]} without --condition",
            expected="--condition NAME",
            remedy="Name the operating condition, like --condition rpm1200.",
        )
    if overridden and named[0] in ("--record", "--last"):
        raise EnrollmentError(
            "The device hears as the device file says",
            found=f"--channel or --source-rate with {named[0]}",
            expected="channel and source_rate of the machine in the device file",
            remedy="Leave the options out, or correct the device file.",
        )
    if clips is not None and len(clips) > MOST_CLIPS:
        raise too_many_clips(str(len(clips)))


def _sound(
    opened: OpenedMachine,
    bundle: Bundle,
    clips: list[Path] | None,
    record: float | None,
    last: float | None,
    channel: int | None,
    source_rate: int | None,
) -> Sound:
    """Return what to enroll, and how many clips that is; files are read one by one, while they are embedded."""
    from asd_edge.cli.recording import last_clips, read_clips, record_clips
    from asd_edge.cli.steps import Steps
    from asd_edge.sources.shared import SharedDevices

    table = opened.table
    rate = bundle.manifest.front_end.sample_rate
    if clips:
        return len(clips), read_clips(
            clips,
            rate=rate,
            channel=table.channel if channel is None else channel,
            source_rate=table.source_rate if source_rate is None else source_rate,
        )
    if last is not None:
        heard = last_clips(opened.device.device.state_dir, table.id, seconds=last, rate=rate)
        return len(heard), heard
    assert record is not None  # _check_usage
    typer.echo(f"recording {record:g} s of {table.source}", err=True)
    with Steps("recording", record) as steps:
        shared = SharedDevices(opened.device.machines)
        recorded = record_clips(table, shared, rate=rate, seconds=record, progress=steps.advance)
    return len(recorded), recorded


def _propose(
    opened: OpenedMachine,
    bundle: Bundle,
    condition: str,
    sound: Sound,
    mixed: bool,
    author: str,
    hours: float,
    picture_file: Path | None,
) -> Proposed:
    """Propose, and keep the proposal and its picture."""
    from asd_edge.cli.steps import Steps
    from asd_edge.enrollment.picture import picture, write_picture
    from asd_edge.enrollment.proposal import keep
    from asd_edge.enrollment.propose import propose

    count, clips = sound
    history = opened.history(bundle, hours=hours)
    with Steps("embedding", count) as steps:
        proposed = propose(
            opened.machine,
            bundle,
            condition,
            clips,
            author=author,
            mixed=mixed,
            history=history,
            progress=lambda _name: steps.advance(1.0),
        )
    keep(opened.store, proposed.proposal, picture(proposed).encode())
    if picture_file is not None:
        write_picture(proposed, picture_file)
    return proposed


def _agreed(proposal: Proposal, *, force: bool) -> bool:
    """Ask the person at the terminal.

    Raises:
        EnrollmentError: the clips sound anomalous and nobody vouches for them.
    """
    from asd_edge.cli.opened import agreed
    from asd_edge.enrollment.checks import refused

    refusal = proposal.report.refusal
    if refusal is not None and not force:
        raise refused(refusal)
    return agreed("Does somebody know that the machine is healthy? Commit" if refusal else "Commit")


def _commit(
    opened: OpenedMachine, bundle: Bundle, proposal: Proposal, *, author: str, force: bool, as_json: bool
) -> None:
    from asd_edge.cli.proposal_text import committed_text, to_json
    from asd_edge.enrollment.commit import commit
    from asd_edge.enrollment.proposal import discard
    from asd_edge.errors import AsdEdgeError

    after = commit(opened.store, bundle, proposal, author=author, force=force)
    with suppress(AsdEdgeError, OSError):  # it is done: what is left over expires
        discard(opened.store, proposal.id)
    if as_json:
        typer.echo(json.dumps(to_json(proposal, revision=after.revision), indent=2))
    else:
        typer.echo(committed_text(proposal, after, opened.config))
