"""A new outbox in the place of a damaged one: built beside it, and put in its place when it is whole.

At any moment of a kill -9 there is either the damaged file, which is found damaged again, or the whole new one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from asd_edge.sinks.outbox.database import Database
from asd_edge.sinks.outbox.rows import Lane
from asd_edge.sinks.outbox.salvage import figures, salvaged

_AT_ONCE = 5_000  # events in a transaction
_PARTS = ("", "-wal", "-shm")


class Replacement:
    """What takes the place of `path`.

    Args:
        path: the outbox.
        beat: called every few thousand events.
    """

    def __init__(self, path: Path, beat: Callable[[], None]) -> None:
        self.aside = path.with_suffix(".damaged.db")
        """Where the damaged file goes."""
        self._path, self._beat = path, beat
        self._new = path.with_suffix(".new.db")

    def build(self, *, first_id: int, known: dict[Lane, int]) -> int:
        """Take over what can be read of the damaged file; return how many events that is.

        Args:
            first_id: of the events that come afterwards.
            known: how many events of each lane should wait in it; what is missing is counted as given up.

        Raises:
            DiskFaultError, DamagedError: it cannot be written.
        """
        _remove(self._new)
        taken = dict.fromkeys(Lane, 0)
        new = Database(self._new, first_id=first_id)
        try:
            rows = salvaged(self._path)
            while some := list(islice(rows, _AT_ONCE)):
                with new.transaction():
                    for row in some:
                        new.insert(row.entry, number=row.id)
                        taken[row.entry.lane] += 1
                self._beat()
            with new.transaction():
                new.take_over(*figures(self._path))
                for lane, events in known.items():
                    new.count_dropped(lane, max(0, events - taken[lane]))
        finally:
            new.close()
        return sum(taken.values())

    def swap(self) -> None:
        """Set the damaged file aside, and put the new one in its place.

        Raises:
            OSError: it cannot be done now.
        """
        _remove(self.aside)
        self._path.replace(self.aside)
        self.put_in_place()

    def put_in_place(self) -> None:
        """Finish a swap, if one was begun.

        Raises:
            OSError: it cannot be done now.
        """
        if not self._new.exists() or self._path.exists():
            return
        for part in _PARTS[1:]:  # of the damaged file: the new one must not take them for its own
            if (left := Path(f"{self._path}{part}")).exists():
                left.replace(f"{self.aside}{part}")
        self._new.replace(self._path)


def _remove(path: Path) -> None:
    for part in _PARTS:
        Path(f"{path}{part}").unlink(missing_ok=True)
