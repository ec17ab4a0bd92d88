"""From the text of a device file to a source."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asd_edge.config import MachineTable
from asd_edge.errors import SourceError
from asd_edge.sources.block import Source
from asd_edge.sources.observer import NOBODY, Observer
from asd_edge.sources.options import read_alsa

if TYPE_CHECKING:
    from asd_edge.sources.shared import SharedDevices

_FORMS = "file:PATH, folder:PATH, raw:- (stdin), raw:FIFO, alsa:NAME or sim:MACHINE"
_BOOKMARK = "folder.json"


def open_machine(
    machine: MachineTable,
    *,
    rate: int,
    block_s: float = 0.25,
    shared: SharedDevices | None = None,
    state: Path | None = None,
    observer: Observer = NOBODY,
) -> Source:
    """Open the source that the device file names for a machine.

    Args:
        machine: its source, with channel and rates.
        rate: samples a second that the model needs; the rate of the blocks.
        block_s: seconds of a block; the same for all machines that share a device.
        shared: devices that are opened once for all their machines; None to open this machine's for it alone.
        state: folder of the machine's state, which remembers what was heard of a watched folder; None to forget it.
        observer: of what happens at the source.

    Raises:
        SourceError: no such source, or one that does not fit.
    """
    device = None if shared is None else shared.device(machine)
    if shared is None or device is None:
        return open_source(
            machine.source,
            rate=rate,
            channel=machine.channel,
            source_rate=machine.source_rate,
            speed=machine.speed,
            block_s=block_s,
            bookmark=None if state is None else state / _BOOKMARK,
            observer=observer,
        )
    from asd_edge.sources.channel import MicrophoneSource

    _check_numbers(machine.source, rate=rate, source_rate=machine.source_rate, speed=machine.speed, block_s=block_s)
    _refuse(machine.source, "speed", machine.speed, only=1.0)
    return MicrophoneSource(
        device.name,
        channels=device.channels,
        rate=rate,
        channel=machine.channel,
        source_rate=machine.source_rate,
        block_s=block_s,
        open_capture=partial(device.listen, machine.id),
        others=shared.others(machine),
        observer=observer,
    )


def open_source(
    uri: str,
    *,
    rate: int,
    channel: int | None = None,
    source_rate: int | None = None,
    speed: float = 1.0,
    block_s: float = 0.25,
    bookmark: Path | None = None,
    observer: Observer = NOBODY,
) -> Source:
    """Open the source that `uri` names.

    Args:
        uri: `file:PATH` (WAV, FLAC), `folder:PATH` (such files as they come), `raw:-` or `raw:FIFO` (signed 16-bit
            little-endian mono PCM), `alsa:NAME[?channels=N]`, or `sim:MACHINE` with any of speed, load, mounting,
            fault, severity, seed, unit, snr_db, control=FILE and record=FILE, as in `sim:fan?load=0.8&seed=3`.
        rate: samples a second that the model needs; the rate of the blocks.
        channel: which channel to hear, from 0; needed where there are several.
        source_rate: samples a second of the source, where it is resampled to `rate`; None for `rate`.
        speed: seconds of the source in one of ours, for files and simulations; 0 for as fast as possible.
        block_s: seconds of a block.
        bookmark: file that remembers what was heard of a watched folder; None to forget it.
        observer: of what happens at the source.

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
                observer=observer,
            )
        case "folder" if rest:
            from asd_edge.sources.folder import FolderSource

            _refuse(uri, "speed", speed, only=1.0)
            return FolderSource(
                Path(rest),
                rate=rate,
                channel=channel,
                source_rate=source_rate,
                block_s=block_s,
                bookmark=bookmark,
                observer=observer,
            )
        case "raw" if rest:
            from asd_edge.sources.raw import RawSource

            _refuse(uri, "channel", channel, only=0)
            _refuse(uri, "speed", speed, only=1.0)
            return RawSource(rest, rate=rate, source_rate=source_rate, block_s=block_s, observer=observer)
        case "alsa" if name:
            from asd_edge.sources.channel import MicrophoneSource

            _refuse(uri, "speed", speed, only=1.0)
            name, channels = read_alsa(uri)
            return MicrophoneSource(
                name,
                channels=channels,
                rate=rate,
                channel=channel,
                source_rate=source_rate,
                block_s=block_s,
                observer=observer,
            )
        case "sim" if name:
            from asd_edge.sources.simulated import open_simulated

            _refuse(uri, "channel", channel, only=0)
            _refuse(uri, "source_rate", source_rate, only=rate)
            return open_simulated(uri, name, query, rate=rate, speed=speed, block_s=block_s, observer=observer)
    raise SourceError(
        "There is no such source",
        found=repr(uri),
        expected=_FORMS,
        remedy="Correct the source; a path needs file: before it.",
    )


def check_source(machine: MachineTable, *, rate: int) -> None:
    """Refuse a source that cannot be heard as it is written, without hearing it.

    A microphone is not opened: it may still be another machine's.

    Raises:
        SourceError: no such source, or one that does not fit.
    """
    if is_microphone(machine.source):
        read_alsa(machine.source)
    else:
        open_machine(machine, rate=rate).close()


def is_live(uri: str) -> bool:
    """Say whether this is sound of here and now, which may come back after it was lost: a microphone, a FIFO or a
    watched folder."""
    scheme = uri.partition(":")[0]
    return scheme in ("alsa", "folder") or is_fifo(uri)


def is_fifo(uri: str) -> bool:
    """Say whether this is sound that another program sends, and that one reader alone gets."""
    scheme, _, rest = uri.partition(":")
    return scheme == "raw" and rest != "-" and not Path(rest).is_file()


def is_microphone(uri: str) -> bool:
    """Say whether a device of this machine is heard, which opening afresh may mend."""
    return uri.startswith("alsa:")


def may_pause(uri: str) -> bool:
    """Say whether this source is in order though no sound comes for hours: a watched folder."""
    return uri.startswith("folder:")


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
