"""asd-edge clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from asd_edge.cli.options import Author, Config, Json
from asd_edge.words import counted

if TYPE_CHECKING:
    from asd_edge.evidence.store import ClipStore
    from asd_edge.evidence.stored import StoredClip

app = typer.Typer(
    help="Look at the sound that was kept of alarms, say what it was, and train with it.\n\n"
    "Nothing is kept without evidence.enabled in the device file (docs/evidence.md). All of this works beside the"
    " running daemon.",
    no_args_is_help=True,
)

MachineOrAll = Annotated[str | None, typer.Option("--machine", metavar="ID", help="Of one machine; all without it.")]
Ids = Annotated[list[str], typer.Argument(metavar="CLIP...", help="Clips as `clips list` names them.")]


@app.command("list")
def list_(config: Config, machine: MachineOrAll = None, as_json: Json = False) -> None:
    """List the clips, the oldest first: whose alarm, when, how long, and what a person said of it.

    With --json, one object for each clip, in a list: its manifest, `path`, `size` in bytes, and `fault`, which says
    why a damaged clip cannot be read.
    """
    store = _store(config, machine)
    clips = store.clips(machine)
    if as_json:
        typer.echo(json.dumps([_row(clip) for clip in clips], indent=2))
        return
    if not clips:
        typer.echo("No clips; see docs/evidence.md", err=True)
        return
    typer.echo(f"{'clip':<23} {'machine':<16} {'alarm (UTC)':<20} {'seconds':>7} {'score':>8} {'limit':>8}  label")
    for clip in clips:
        typer.echo(_line(clip))
    typer.echo(f"{counted(len(clips), 'clip')}, {sum(clip.size for clip in clips) / (1 << 20):.1f} MiB", err=True)
    typer.echo(f"Listen: {store.folder}/MACHINE/CLIP/sound.flac, and spectrogram.png beside it", err=True)


@app.command()
def label(
    config: Config,
    ids: Ids,
    verdict: Annotated[
        Literal["normal", "anomalous", "unknown"],
        typer.Option("--as", help="What was heard; unknown takes a label back to nobody knows."),
    ],
    note: Annotated[str, typer.Option(metavar="TEXT", help="What it was: bearing, a door, ...")] = "",
    author: Author = None,
) -> None:
    """Say what is heard in clips: a machine as it should be, or not.

    What was normal is what the device should learn: export it and train with it, or enroll.
    """
    from asd_edge.cli.opened import who
    from asd_edge.evidence.manifest import Label
    from asd_edge.strict import utc_time

    store = _store(config)
    said = Label(verdict=verdict, note=_note(note), author=who(author), time_utc=utc_time())
    for clip in [store.find(name) for name in ids]:
        store.label(clip, said)
    typer.echo(f"{', '.join(ids)}: {verdict}", err=True)


@app.command()
def export(
    config: Config,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to make.")],
    machine: MachineOrAll = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Take clips without a label too, as test clips that hide it.")
    ] = False,
) -> None:
    """Write labelled clips as a data set in the layout of DCASE Task 2: `asd-train fit --data FOLDER` reads it.

    Sound is cut into clips of ten seconds: normal ones to train with, anomalous ones to test with. The folder can be
    read by you alone, since people may be heard in it.
    """
    from asd_edge.evidence.export import export_clips

    exported = export_clips(_store(config, machine).clips(machine), out, unlabelled=unlabelled)
    for name, why in exported.left_out:
        typer.echo(f"{name} is left out: {why}", err=True)
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(exported.pieces.items()))
    typer.echo(f"Wrote {out}: {said}", err=True)


@app.command()
def remove(
    config: Config,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="CLIP...", help="Clips as `clips list` names them.")
    ] = None,
    machine: MachineOrAll = None,
    everything: Annotated[bool, typer.Option("--all", help="All clips, or all of --machine.")] = False,
) -> None:
    """Delete clips, for good."""
    from asd_edge.errors import StateError

    store = _store(config, machine)
    if everything == bool(ids):
        raise StateError(
            "It is not clear which clips to delete",
            found="clips and --all" if ids else "neither clips nor --all",
            expected="one of them",
            remedy="Name clips, or say --all.",
        )
    chosen = store.clips(machine) if everything else [store.find(name) for name in ids or []]
    for clip in chosen:
        store.remove(clip.path)
    typer.echo(f"{counted(len(chosen), 'clip')} deleted", err=True)


def _store(config: Path, machine: str | None = None) -> ClipStore:
    """Open the device's clips; a machine that is asked for must be one of the device file's, or have clips."""
    from asd_edge.config import load_config
    from asd_edge.evidence.store import ClipStore

    device = load_config(config)
    store = ClipStore(device.device.state_dir)
    if machine is not None and not store.clips(machine):
        device.machine(machine)
    return store


def _note(text: str) -> str:
    from asd_edge.errors import StateError

    if len(text) > 500 or not text.isprintable():
        raise StateError(
            "The note cannot be used",
            found=repr(text[:60]),
            expected="500 printable characters at most",
            remedy="Shorten it, on one line.",
        )
    return text


def _row(clip: StoredClip) -> dict[str, Any]:
    known = {"id": clip.id, "machine": clip.machine} if clip.manifest is None else clip.manifest.model_dump(mode="json")
    return known | {"path": str(clip.path), "size": clip.size, "fault": clip.fault}


def _line(clip: StoredClip) -> str:
    if clip.manifest is None:
        return f"{clip.id:<23} {clip.machine:<16} damaged: {clip.fault}"
    manifest = clip.manifest
    said = "–" if manifest.label is None else f"{manifest.label.verdict} ({manifest.label.author})"
    note = f": {manifest.label.note}" if manifest.label is not None and manifest.label.note else ""
    when = f"{manifest.alarm_utc[:19]}Z"
    figures = f"{manifest.seconds:>7.1f} {manifest.score:>8.4f} {manifest.threshold:>8.4f}"
    return f"{clip.id:<23} {clip.machine:<16} {when:<20} {figures}  {said}{note}"
