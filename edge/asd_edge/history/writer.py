"""Write what is being heard."""

from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from asd_edge.atomic import atomic_write, make_folder
from asd_edge.errors import StateError
from asd_edge.history.format import HistoryLayout, Records, checksums, whole
from asd_edge.history.reader import parts_of
from asd_edge.scoring.aggregation import EmbeddedSegments
from asd_edge.strict import RefusalError

_log = logging.getLogger(__name__)

MOST_WAITING = 4096
"""Segments that wait for a disk which takes none, an hour or so; the oldest are dropped beyond."""

MOST_WAITING_BYTES = 4 << 20
"""The same in memory, for long embeddings."""


class HistoryWriter:
    """Appends to the history of one machine. `append` only remembers; `flush`, in another thread perhaps, writes.

    The file is allocated as a whole when it is made: a disk that fills up later cannot stop it. What was not flushed
    is lost when the process is killed; what the kernel has not written back yet (some 30 s) is lost when the power
    fails: nothing is synced, to spare a flash card.

    Args:
        path: the file; made at the first flush. A file of another layout, or a damaged one, becomes `<machine>.old`.
        layout: what it shall hold.
    """

    def __init__(self, path: Path, layout: HistoryLayout) -> None:
        self.path = path
        self.layout = layout
        self.most_waiting = max(1, min(MOST_WAITING, MOST_WAITING_BYTES // layout.record.itemsize))
        self._file: IO[bytes] | None = None
        self._waiting: list[Records] = []  # numbered from 1; the file's last numbers are added when it is open
        self._origin: int | None = None
        self._streams = self._appended = 0
        self._last_stream = self._last_sequence = 0  # of whoever wrote the file before
        self._lock = threading.Lock()  # of what is waiting
        self._writing = threading.Lock()  # of the file

    @property
    def waiting(self) -> int:
        """Segments that are not written yet."""
        with self._lock:
            return sum(map(len, self._waiting))

    def append(self, origin: int, segments: EmbeddedSegments, times: NDArray[np.float64]) -> None:
        """Take the next segments of a stream; never waits for the disk.

        Args:
            origin: absolute index of the stream's sample 0; another one says that a new stream has begun.
            segments: any number of them.
            times: UTC seconds at which each ended, float64 [segments].
        """
        if len(segments) == 0:
            return
        records = self.layout.records(origin, segments, times)
        if origin != self._origin:
            self._origin = origin
            self._streams += 1
        records["stream"] = self._streams
        records["sequence"] = np.arange(self._appended + 1, self._appended + len(records) + 1)
        self._appended += len(records)
        with self._lock:
            self._waiting.append(records)
            self._drop_oldest()

    def flush(self) -> None:
        """Write what is waiting into the file, where every process can read it then.

        Raises:
            StateError: the disk does not take it. It waits on.
        """
        with self._writing:
            with self._lock:
                taken, self._waiting = self._waiting, []
            try:
                if taken:
                    self._write(np.concatenate(taken))
            except OSError as error:
                with self._lock:
                    self._waiting = taken + self._waiting
                    self._drop_oldest()
                raise StateError(
                    f"Cannot write the history {self.path}",
                    found=error.strerror or str(error),
                    expected=f"a folder to write to, with room for {self.layout.size / 1e6:.1f} MB",
                    remedy="Make room, correct the owner of device.state_dir, or lower device.history_h (0: none).",
                ) from error

    def close(self) -> None:
        """Flush, then let go of the file.

        Raises:
            StateError: the disk does not take what was waiting.
        """
        try:
            self.flush()
        finally:
            with self._writing:
                self._let_go()

    def _drop_oldest(self) -> None:
        """The numbers that are missing then tell a reader of the gap."""
        while len(self._waiting) > 1 and sum(map(len, self._waiting)) > self.most_waiting:
            del self._waiting[0]

    def _write(self, records: Records) -> None:
        if self._file is not None and os.fstat(self._file.fileno()).st_nlink == 0:  # somebody has removed it
            self._let_go()
        if self._file is None:
            self._file = self._open()
        records["stream"] += self._last_stream
        records["sequence"] += self._last_sequence
        records["crc"] = checksums(records)
        for record in records[-self.layout.capacity :]:
            place = self.layout.place(int(record["sequence"]))
            if os.pwrite(self._file.fileno(), record.tobytes(), place) < records.itemsize:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open(self) -> IO[bytes]:
        """Open the file, a new one where there is none to go on with."""
        state_dir = self.path.parent.parent
        make_folder(self.path.parent, state_dir)
        for leftover in self.path.parent.glob(f".{self.path.name}.*.tmp"):  # of a writer that was killed
            leftover.unlink(missing_ok=True)
        if not self._is_usable():
            with atomic_write(self.path, like=state_dir) as stream:
                stream.write(self.layout.header())
                stream.flush()
                os.posix_fallocate(stream.fileno(), 0, self.layout.size)
        file = self.path.open("r+b", buffering=0)
        self._last_stream, self._last_sequence = _last(file, self.layout)
        return file

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _is_usable(self) -> bool:
        """Say whether there is a file that can go on; set another one aside."""
        try:
            found = HistoryLayout.of(self.path)
            reason = f"it holds {found}, and the daemon keeps {self.layout}"
            if found == self.layout:
                return True
        except FileNotFoundError:
            return False
        except RefusalError as refusal:
            reason = refusal.found
        old = self.path.with_suffix(".old")
        _log.warning("The history %s begins anew; %s keeps what it was: %s", self.path, old.name, reason)
        self.path.replace(old)
        return False


def _last(file: IO[bytes], layout: HistoryLayout) -> tuple[int, int]:
    """Return the stream and the sequence number of the newest whole record; 0 and 0 without any."""
    sequences = np.concatenate([part["sequence"].copy() for part in parts_of(file, layout)])
    for place in np.argsort(sequences)[::-1]:
        if sequences[place] == 0:
            break
        data = os.pread(file.fileno(), layout.record.itemsize, layout.place(int(place)))
        record = np.frombuffer(data, layout.record)
        if whole(record)[0]:
            return int(record["stream"][0]), int(record["sequence"][0])
    return 0, 0
