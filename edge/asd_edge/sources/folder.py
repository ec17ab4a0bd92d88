"""A folder into which a recorder puts sound files: as a source that never ends."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from asd_edge.errors import SourceError
from asd_edge.sources.block import Block
from asd_edge.sources.conversion import Conversion
from asd_edge.sources.observer import NOBODY, Observer
from asd_edge.sources.pacing import ROUND_S
from asd_edge.sources.pcm import encode
from asd_edge.sources.recording import Recording, open_recording
from asd_edge.sources.watched_folder import FoundFile, WatchedFolder

_log = logging.getLogger(__name__)


class FolderSource:
    """The WAV and FLAC files that come into a folder, each heard once, as fast as it can be read.

    A file that cannot be used is reported and passed over. Every file begins a stream of its own: nobody knows whether
    its recorder lost anything in between. It was captured until the file was written last.

    Args:
        folder: where the files come.
        rate: samples a second of the blocks.
        channel: which channel to hear; needed when there are several.
        source_rate: samples a second of the files; None for `rate`.
        block_s: seconds of a block.
        bookmark: file that remembers over restarts what was heard; None to hear only what comes from now on.
        observer: of what happens.

    Raises:
        SourceError: no folder that can be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rate: int,
        channel: int | None,
        source_rate: int | None,
        block_s: float,
        bookmark: Path | None = None,
        observer: Observer = NOBODY,
    ) -> None:
        self.rate = rate
        self._folder = folder
        self._channel = channel
        self._source_rate = rate if source_rate is None else source_rate
        self._size = max(1, round(block_s * self._source_rate))
        self._watched = WatchedFolder(folder, bookmark)
        self._observer = observer
        self._closing = threading.Event()
        self._conversion: Conversion | None = None
        self._captured_until = 0.0
        try:
            os.scandir(folder).close()
        except OSError as error:
            raise self._unreadable(error) from None

    def blocks(self) -> Iterator[Block]:
        """Yield blocks until the source is closed; a gap between blocks is one between files.

        Raises:
            SourceError: the folder cannot be read any more.
        """
        while not self._closing.is_set():
            try:
                found = self._watched.look(monotonic())
            except OSError as error:
                raise self._unreadable(error) from None
            for file in found:
                try:
                    yield from self._hear(file)
                    self._observer.unusable_file(None)
                except SourceError as error:
                    if (self._folder / file.name).exists():
                        _log.error("A file in %s is passed over. %s", self._folder, error)
                        self._observer.unusable_file(error.line)
                if self._closing.is_set():  # not heard to its end: it comes again after a restart
                    return
                self._watched.heard(file)
            self._closing.wait(ROUND_S)
            self._observer.waiting()

    def close(self) -> None:
        """End `blocks` soon, from any thread."""
        self._closing.set()

    def _hear(self, file: FoundFile) -> Iterator[Block]:
        recording = open_recording(
            self._folder / file.name, rate=self.rate, channel=self._channel, source_rate=self._source_rate
        )
        conversion = self._continued(recording, file.modified_ns / 1e9)
        for piece in recording.read(self._size):
            if self._closing.is_set():
                return
            faults = self._observer.hear(encode(piece)[:, None], rate=recording.rate)
            yield from conversion.push(piece, faults=faults)
        yield from conversion.flush()

    def _continued(self, recording: Recording, captured_until: float) -> Conversion:
        """Return the one conversion of all files, after the gap before this one."""
        captured = captured_until - recording.frames / recording.rate
        if self._conversion is None:
            self._conversion = Conversion(recording.rate, self.rate, time=captured)
        else:
            self._conversion.flush()  # of a file that broke off
            self._conversion.skip(max(0.0, captured - self._captured_until))
            self._conversion.keep_time(captured)
        self._captured_until = captured_until
        return self._conversion

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(
            f"The folder {self._folder} cannot be watched",
            found=error.strerror or str(error),
            expected="a folder that can be read",
            remedy="Make or mount it, and check its permissions.",
        )
