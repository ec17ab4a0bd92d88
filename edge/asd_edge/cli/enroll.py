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
        typer.Option(metavar="SECONDS", min=6.0, max=600.0, help="Record the machine's source now, instead."),
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
    machine's source (a microphone serves one program at a time: stop `asd-edge run` first). A running daemon
    picks the condition up within seconds. The bundle is not changed; the recordings are not kept.
    """
    from asd_edge.bundle.archive import load_bundle
    from asd_edge.bundle.site import SiteStore
    from asd_edge.cli.recording import read_clips, record_clips
    from asd_edge.cli.steps import Steps
    from asd_edge.config import load_config
    from asd_edge.enroll import enroll_clips
    from asd_edge.errors import EnrollmentError

    if bool(clips) == (record is not None):
        raise EnrollmentError(
            "It is not clear what to enroll",
            found="both clips and --record" if clips else "neither clips nor --record",
            expected="three or more clips, or --record SECONDS",
            remedy="Give one of the two.",
        )
    device = load_config(config)
    heard = device.machine(machine)
    bundle = load_bundle(device.bundle.path)
    rate = bundle.manifest.front_end.sample_rate
    with Steps("recording" if record else "reading", len(clips or []) or record or 0.0) as steps:
        sound = (
            read_clips(clips, rate=rate, channel=channel, source_rate=source_rate, progress=steps.advance)
            if clips
            else record_clips(heard, rate=rate, seconds=record or 0.0, progress=steps.advance)
        )
    with Steps("embedding", len(sound)) as steps:
        report = enroll_clips(
            SiteStore(device.device.state_dir, machine),
            bundle,
            machine=machine,
            condition=condition,
            clips=sound,
            mixed=mixed,
            factory=heard.factory_key,
            progress=lambda _name: steps.advance(1.0),
        )
    typer.echo(json.dumps(report.to_json(), indent=2) if as_json else _summary(report))


def _summary(report: EnrollmentReport) -> str:
    lines = [
        f"{report.machine}: condition {report.condition} {'replaced' if report.replaced else 'enrolled'} "
        f"(revision {report.revision})",
        f"  from {sum(map(len, report.groups))} clips, {report.segments} segments",
        f"  threshold {report.threshold:.4f}, idle below {report.idle_floor_dbfs:.1f} dBFS",
    ]
    if len(report.groups) > 1:
        lines += [f"  centre of its own: {', '.join(group)}" for group in report.groups]
    lines += [f"  distance to {name}: {distance:.4f}" for name, distance in report.distances.items()]
    return "\n".join(lines)
