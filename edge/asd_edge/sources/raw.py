"""Raw PCM on stdin or from a FIFO: whatever another program can pipe."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from time import monotonic

from asd_edge.errors import SourceError
from asd_edge.sources.arrival import Arrival
from asd_edge.sources.block import Block
from asd_edge.sources.conversion import Conversion, check_rates
from asd_edge.sources.observer import NOBODY, Observer
from asd_edge.sources.pcm import SAMPLE_BYTES, decode, interleaved, read_exactly


class RawSource:
    """Signed 16-bit little-endian mono PCM at `source_rate`, at the sender's pace.

    Args:
        path: "-" for stdin, else a FIFO or a file; a FIFO waits for its sender and ends when that leaves.
        rate: samples a second of the blocks.
        source_rate: samples a second that are sent; None for `rate`.
        block_s: seconds of a block.
        observer: of what happens.

    Raises:
        SourceError: nothing at this path, or a rate below the model's.
    """

    def __init__(
        self, path: str, *, rate: int, source_rate: int | None, block_s: float, observer: Observer = NOBODY
    ) -> None:
        self.rate = rate
        self._observer = observer
        self._path = path
        self._source_rate = rate if source_rate is None else source_rate
        self._size = max(1, round(block_s * self._source_rate)) * SAMPLE_BYTES
        self._closing = threading.Event()
        check_rates(self._what, found=self._source_rate, rate=rate, source_rate=source_rate)
        if path != "-" and (not os.path.exists(path) or os.path.isdir(path)):
            raise self._unreadable("a directory" if os.path.isdir(path) else "nothing of that name")

    @property
    def _what(self) -> str:
        return "Raw sound from stdin" if self._path == "-" else f"Raw sound from {self._path}"

    def blocks(self) -> Iterator[Block]:
        """Yield blocks as they arrive, until the sender ends.

        Raises:
            SourceError: stdin or the FIFO cannot be read.
        """
        try:
            descriptor = self._open()
            try:
                yield from self._read(descriptor)
            finally:
                if self._path != "-":
                    os.close(descriptor)
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from None

    def close(self) -> None:
        """End `blocks` within a tenth of a second, from any thread."""
        self._closing.set()

    def _open(self) -> int:
        if self._path == "-":
            return sys.stdin.fileno()
        # A FIFO without a sender would otherwise block us here, deaf to close().
        return os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)

    def _read(self, descriptor: int) -> Iterator[Block]:
        conversion, arrival, asked = None, Arrival(), monotonic()
        while data := read_exactly(descriptor, self._size, closing=self._closing, waiting=self._observer.waiting):
            pcm, now = interleaved(data), monotonic()
            samples = decode(pcm[:, 0])
            captured = time.time() - len(samples) / self._source_rate
            if conversion is None:
                conversion = Conversion(self._source_rate, self.rate, time=captured)
            lost_s = arrival.push(len(samples) / self._source_rate, now, now - asked)
            self._observer.off_rate(arrival.off_rate)
            if lost_s > 0.0:
                yield from conversion.flush()
                conversion.skip(lost_s)
                self._observer.lose(lost_s)
            conversion.keep_time(captured)
            faults = self._observer.hear(pcm, rate=self._source_rate)
            yield from conversion.push(samples, faults=faults)
            asked = monotonic()
        if conversion is not None and not self._closing.is_set():
            yield from conversion.flush()

    def _unreadable(self, found: str) -> SourceError:
        return SourceError(
            f"{self._what} cannot be read",
            found=found,
            expected="a FIFO, a file, or - for stdin",
            remedy="Make the FIFO with mkfifo before its sender starts, and check its permissions.",
        )
