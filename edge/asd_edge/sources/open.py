"""From the text of a device file to a source."""

from __future__ import annotations

import math
from pathlib import Path

from asd_edge.config import MachineTable
from asd_edge.errors import SourceError
from asd_edge.sources.block import Source
from asd_edge.sources.options import Options

_FORMS = "file:PATH, raw:- (stdin), raw:FIFO, alsa:NAME or sim:MACHINE"


def open_machine(machine: MachineTable, *, rate: int) -> Source:
    """Open the source that the device file names for a machine, with blocks at `rate` samples a second.

    Raises:
        SourceError: no such source, or one that does not fit.
    """
    return open_source(
        machine.source, rate=rate, channel=machine.channel, source_rate=machine.source_rate, speed=machine.speed
    )


def open_source(
    uri: str,
    *,
    rate: int,
    channel: int | None = None,
    source_rate: int | None = None,
    speed: float = 1.0,
    block_s: float = 0.25,
) -> Source:
    """Open the source that `uri` names.

    Args:
        uri: `file:PATH` (WAV, FLAC), `raw:-` or `raw:FIFO` (signed 16-bit little-endian mono PCM),
            `alsa:NAME[?channels=N]`, or `sim:MACHINE` with any of speed, load, mounting, fault, severity,
            seed, unit, snr_db, control=FILE and record=FILE, as in `sim:fan?load=0.8&seed=3`.
        rate: samples a second that the model needs; the rate of the blocks.
        channel: which channel to hear, from 0; needed where there are several.
        source_rate: samples a second of the source, where it is resampled to `rate`; None for `rate`.
        speed: seconds of the source in one of ours, for files and simulations; 0 for as fast as possible.
        block_s: seconds of a block.

    Raises:
        SourceError: no such source, or one that does not fit.
    """
    _check_numbers(uri, rate=rate, source_rate=source_rate, speed=speed, block_s=block_s)
    scheme, _, rest = uri.partition(":")
    name, _, query = rest.partition("?")
    match scheme:
        case "file" if rest:
            from asd_edge.sources.file import FileSource

            return FileSource(
                Path(rest),
                rate=rate,
                channel=channel,
                source_rate=source_rate,
                speed=speed,
                block_s=block_s,
            )
        case "raw" if rest:
            from asd_edge.sources.raw import RawSource

            _refuse(uri, "channel", channel, only=0)
            _refuse(uri, "speed", speed, only=1.0)
            return RawSource(rest, rate=rate, source_rate=source_rate, block_s=block_s)
        case "alsa" if name:
            from asd_edge.sources.microphone import MicrophoneSource

            _refuse(uri, "speed", speed, only=1.0)
            return MicrophoneSource(
                name,
                channels=Options(uri, query, ["channels"]).number("channels", int),
                rate=rate,
                channel=channel,
                source_rate=source_rate,
                block_s=block_s,
            )
        case "sim" if name:
            from asd_edge.sources.simulated import open_simulated

            _refuse(uri, "channel", channel, only=0)
            _refuse(uri, "source_rate", source_rate, only=rate)
            return open_simulated(uri, name, query, rate=rate, speed=speed, block_s=block_s)
    raise SourceError(
        "There is no such source",
        found=repr(uri),
        expected=_FORMS,
        remedy="Correct the source; a path needs file: before it.",
    )


def is_live(uri: str) -> bool:
    """Say whether this is sound of here and now, which may come back after it was lost: a microphone or a FIFO."""
    scheme, _, rest = uri.partition(":")
    return scheme == "alsa" or (scheme == "raw" and rest != "-" and not Path(rest).is_file())


def _check_numbers(uri: str, *, rate: int, source_rate: int | None, speed: float, block_s: float) -> None:
    wrong = {
        f"rate = {rate}": rate < 1,
        f"source_rate = {source_rate}": source_rate is not None and source_rate < 1,
        f"speed = {speed}": not 0.0 <= speed < math.inf,
        f"block_s = {block_s}": not 0.0 < block_s <= 60.0,
    }
    for found, is_wrong in wrong.items():
        if is_wrong:
            raise SourceError(
                f"The source {uri!r} cannot be opened like this",
                found=found,
                expected="rates of at least 1, a speed of at least 0, blocks of at most 60 s",
                remedy="Correct this value.",
            )


def _refuse(uri: str, name: str, value: float | None, *, only: float) -> None:
    """Refuse a setting that this kind of source cannot follow, rather than ignore it."""
    if value is not None and value != only:
        raise SourceError(
            f"The source {uri!r} has no {name} to choose",
            found=f"{name} = {value}",
            expected=f"{name} = {only}, or none",
            remedy=f"Leave {name} out.",
        )
