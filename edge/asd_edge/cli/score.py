"""asd-edge score."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_edge.cli.options import Channel, Json, SourceRate

if TYPE_CHECKING:
    from asd_edge.detector import Detector
    from asd_edge.events import Judgement


def score(
    clips: Annotated[list[Path], typer.Argument(metavar="CLIP...", help="WAV or FLAC files, of any length.")],
    bundle: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The bundle to score with; without it, the one that came along."),
    ] = None,
    factory: Annotated[
        str | None,
        typer.Option(metavar="MACHINE/SECTION", help="Compare with what the bundle's factory knows, like fan/00."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with what a device knows: its configuration ..."),
    ] = None,
    machine: Annotated[str | None, typer.Option(metavar="ID", help="... and a machine's id in it.")] = None,
    channel: Channel = None,
    source_rate: SourceRate = None,
    as_json: Json = False,
) -> None:
    """Score recordings, window by window, exactly as the running daemon would.

    Say what to compare with: either --factory, or --config with --machine (which names the bundle, the
    channel and the sample rate too). A window whose score is above its threshold does not sound like anything
    known to be normal.
    """
    from asd_edge.cli.hearing import from_device, from_factory
    from asd_edge.errors import ConfigError

    if config is not None and machine is not None and factory is None and bundle is None:
        hearing = from_device(config, machine)
    elif factory is not None and config is None and machine is None:
        hearing = from_factory(bundle or "default", factory)
    else:
        raise ConfigError(
            "It is not clear what to compare the clips with",
            found="neither, or parts of both",
            expected="--factory MACHINE/SECTION (and --bundle), or --config FILE with --machine ID",
            remedy="Give one of the two; asd-edge score --help explains them.",
        )
    channel = hearing.channel if channel is None else channel
    source_rate = hearing.source_rate if source_rate is None else source_rate
    if not as_json:
        typer.echo("   start s     stop s      score  threshold  verdict       condition")
    above = 0
    for clip in clips:
        if not as_json:
            typer.echo(str(clip))
        over = False
        for event in _events(hearing.detector(), clip, hearing.rate, channel, source_rate):
            over = over or _is_over(event)
            typer.echo(json.dumps({"clip": str(clip)} | event.to_json()) if as_json else _line(event, hearing.rate))
        above += over
    if not as_json:
        typer.echo(f"{above} of {len(clips)} clips have a window above its threshold")


def _events(
    detector: Detector, clip: Path, rate: int, channel: int | None, source_rate: int | None
) -> Iterator[Judgement]:
    from asd_edge.errors import SourceError
    from asd_edge.sources.open import open_source

    source = open_source(f"file:{clip}", rate=rate, channel=channel, source_rate=source_rate, speed=0.0)
    heard = 0
    try:
        for block in source.blocks():
            for event in detector.process(block):
                heard += 1
                yield event
        for event in detector.flush():
            heard += 1
            yield event
    finally:
        source.close()
    if not heard:
        raise SourceError(
            f"The clip {clip} is too short to score",
            found="less sound than one segment of the bundle",
            expected="a few seconds; ten are a good length",
            remedy="Give a longer clip.",
        )


def _is_over(event: Judgement) -> bool:
    from asd_edge.events import WindowScore

    if not isinstance(event, WindowScore) or event.score is None or event.threshold is None:
        return False
    return event.score > event.threshold


def _line(event: Judgement, rate: int) -> str:
    from asd_edge.events import WindowScore, alarm_text

    if not isinstance(event, WindowScore):
        return f"{'':22}{event.score:11.4f}{event.threshold:11.4f}  {alarm_text(event)}"
    span = f"{event.start / rate:10.2f} {event.stop / rate:10.2f} "
    if event.score is None or event.threshold is None:
        return f"{span}{'-':>11}{'-':>11}  {event.state.value}"
    verdict = "ANOMALOUS" if event.score > event.threshold else "normal"
    return f"{span}{event.score:11.4f}{event.threshold:11.4f}  {verdict:12}  {event.condition}"
