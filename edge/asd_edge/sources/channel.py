"""One channel of a capture device as a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial

from asd_edge.sources.arrival import Arrival
from asd_edge.sources.block import Block
from asd_edge.sources.conversion import Conversion, check_rates
from asd_edge.sources.microphone import Microphone
from asd_edge.sources.observer import NOBODY, Observer
from asd_edge.sources.pcm import decode, interleaved
from asd_edge.sources.pieces import OpenCapture
from asd_edge.sources.recording import choose_channel


class MicrophoneSource:
    """One channel of an ALSA capture device, heard in 16 bits.

    Args:
        device: an ALSA name; `hw:CARD=…` stays the same when USB devices change places.
        channels: channels the device is opened with; None for as many as `channel` needs.
        rate: samples a second of the blocks.
        channel: which channel to hear, from 0; needed when there are several.
        source_rate: samples a second the device is opened with; None for `rate`.
        block_s: seconds of a block.
        open_capture: takes hold of the device, with these channels, together with others; None to have it alone.
        others: channels that are other machines'.
        observer: of what happens.

    Raises:
        SourceError: arecord is not installed, or channels or rates that do not fit.
    """

    def __init__(
        self,
        device: str,
        *,
        channels: int | None,
        rate: int,
        channel: int | None,
        source_rate: int | None,
        block_s: float,
        open_capture: OpenCapture | None = None,
        others: Sequence[int] = (),
        observer: Observer = NOBODY,
    ) -> None:
        what = f"The microphone {device}"
        self.rate = rate
        self._channels = channels or (channel or 0) + 1
        self._channel = choose_channel(what, channels=self._channels, channel=channel)
        self._source_rate = rate if source_rate is None else source_rate
        check_rates(what, found=self._source_rate, rate=rate, source_rate=source_rate)
        open_capture = open_capture or partial(Microphone, device, channels=self._channels)
        self._capture = open_capture(rate=self._source_rate, piece_s=block_s, waiting=observer.waiting)
        self._others = others
        self._observer = observer

    def blocks(self) -> Iterator[Block]:
        """Yield blocks until the source is closed; a gap between blocks is lost sound.

        Raises:
            SourceError: the device cannot be opened, or is lost.
        """
        conversion, due, arrival = None, 0, Arrival()
        with closing(self._capture.pieces()) as pieces:
            for piece in pieces:
                pcm = interleaved(piece.data, channels=self._channels)
                samples = decode(pcm[:, self._channel])
                if conversion is None:
                    conversion = Conversion(self._source_rate, self.rate, time=piece.captured)
                elif piece.start > due:
                    yield from conversion.flush()
                    lost_s = (piece.start - due) / self._source_rate
                    conversion.skip(lost_s)
                    self._observer.lose(lost_s)
                    arrival.skip(lost_s)
                due = piece.start + len(samples)
                arrival.push(len(samples) / self._source_rate, piece.arrived)
                self._observer.off_rate(arrival.off_rate)
                conversion.keep_time(piece.captured)
                faults = self._observer.hear(pcm, rate=self._source_rate, channel=self._channel, others=self._others)
                yield from conversion.push(samples, arrived=piece.arrived, faults=faults)

    def close(self) -> None:
        """End `blocks` soon, from any thread; who asks for them lets go of the device."""
        self._capture.close()
