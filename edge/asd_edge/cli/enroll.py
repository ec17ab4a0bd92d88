"""asd-edge enroll."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_edge.cli.options import Channel, Config, Json, Machine, SourceRate

if TYPE_CHECKING:
    from asd_edge.enroll import EnrollmentReport


def enroll(
    config: Config,
    machine: Machine,
    condition: Annotated[
        str, typer.Option(metavar="NAME", help="What to call it, like rpm1200; the same name again replaces it.")
    ],
    clips: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CLIP...", help="Three or more recordings; ten seconds each is a good length."),
    ] = None,
    record: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=30.0, max=600.0, help="Record the machine's source now, instead."),
    ] = None,
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="The clips hold several kinds of healthy sound: each gets a centre of its own."),
    ] = False,
    channel: Channel = None,
    source_rate: SourceRate = None,
    as_json: Json = False,
) -> None:
    """Teach the device how a machine sounds when it runs normally in an operating condition.

    Give three or more clips of healthy sound, best some minutes apart, or let --record take them from the
    machine's source in one go (a microphone serves one program at a time: stop `asd-edge run` first). A running daemon
    picks the condition up within seconds. The bundle is not changed; the recordings are not kept.
    """
    from asd_edge.bundle.archive import load_bundle
    from asd_edge.bundle.site import SiteStore
    from asd_edge.cli.recording import read_clips, record_clips
    from asd_edge.cli.steps import Steps
    from asd_edge.config import load_config
    from asd_edge.enroll import check_name, enroll_clips
    from asd_edge.errors import EnrollmentError
    from asd_edge.sources.shared import SharedDevices

    if bool(clips) == (record is not None):
        raise EnrollmentError(
            "It is not clear what to enroll",
            found="both clips and --record" if clips else "neither clips nor --record",
            expected="three or more clips, or --record SECONDS",
            remedy="Give one of the two.",
        )
    if record is not None and (channel is not None or source_rate is not None):
        raise EnrollmentError(
            "A recording is made as the device file says",
            found="--channel or --source-rate with --record",
            expected="channel and source_rate of the machine in the device file",
            remedy="Leave the options out, or correct the device file.",
        )
    check_name(condition)
    device = load_config(config)
    heard = device.machine(machine)
    store = SiteStore(device.device.state_dir, machine)
    bundle = load_bundle(device.bundle.path)
    rate = bundle.manifest.front_end.sample_rate
    if record is not None:
        with store.exclusive():  # what would refuse the condition later refuses it before minutes are spent
            typer.echo(f"recording {record:g} s of {heard.source}", err=True)
    with Steps("recording" if record else "reading", len(clips or []) or record or 0.0) as steps:
        sound = (
            read_clips(
                clips,
                rate=rate,
                channel=heard.channel if channel is None else channel,
                source_rate=heard.source_rate if source_rate is None else source_rate,
                progress=steps.advance,
            )
            if clips
            else record_clips(
                heard,
                SharedDevices(device.machines),
                rate=rate,
                seconds=record or 0.0,
                progress=steps.advance,
            )
        )
    with Steps("embedding", len(sound)) as steps:
        report = enroll_clips(
            store,
            bundle,
            machine=machine,
            condition=condition,
            clips=sound,
            mixed=mixed,
            factory=heard.factory_key,
            progress=lambda _name: steps.advance(1.0),
        )
    typer.echo(json.dumps(report.to_json(), indent=2) if as_json else _summary(report))
    if record is not None:
        typer.echo(_ONE_RECORDING, err=True)


_ONE_RECORDING = (
    "note: these clips were cut from one recording without a break. They sound more alike than clips of different\n"
    "hours do, so the threshold may be too tight; enroll again with clips some minutes or hours apart if it is."
)


def _summary(report: EnrollmentReport) -> str:
    lines = [
        f"{report.machine}: condition {report.condition} {'replaced' if report.replaced else 'enrolled'} "
        f"(revision {report.revision})",
        f"  from {sum(map(len, report.groups))} clips, {report.segments} segments",
        f"  threshold {report.threshold:.4f}, idle below {report.idle_floor_dbfs:.1f} dBFS",
    ]
    if len(report.groups) > 1:
        lines += [f"  centre of its own: {', '.join(group)}" for group in report.groups]
    if report.dropped:
        lines.append(f"  no longer comparable, forgotten: {', '.join(report.dropped)} (enroll them again)")
    lines += [f"  distance to {name}: {distance:.4f}" for name, distance in report.distances.items()]
    return "\n".join(lines)
