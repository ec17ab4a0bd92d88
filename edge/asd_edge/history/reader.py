"""Read what was heard, without a lock, also while it is being written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from asd_edge.errors import StateError
from asd_edge.history.format import HEADER_BYTES, HistoryLayout, Records, Stretch, whole
from asd_edge.strict import RefusalError

_AT_ONCE = 1 << 20  # bytes, whatever the size of the file


def read_history(path: Path, embedding_id: str, since: float | None = None) -> list[Stretch]:
    """Return what was heard, the oldest stretch first. What the daemon has not flushed yet is missing.

    Args:
        path: of the machine's history; without a file nothing was heard.
        embedding_id: the kind of embedding that is wanted.
        since: UTC seconds; only segments that ended then or later. None for all.

    Raises:
        StateError: the file cannot be read, is damaged, or holds embeddings of another kind.
    """
    try:
        layout = HistoryLayout.of(path)
        if layout.embedding_id != embedding_id:
            raise RefusalError(
                f"embeddings of the kind {layout.embedding_id[:12]}",
                f"embeddings of the kind {embedding_id[:12]}, which the bundle gives",
            )
        with path.open("rb") as file:
            parts = [_wanted(part, since) for part in parts_of(file, layout)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), "a file that this user may read", None) from error
    except RefusalError as refusal:
        raise _unusable(path, refusal.found, refusal.expected, refusal.remedy) from None
    records = np.concatenate(parts)
    parts.clear()  # hundreds of megabytes, perhaps
    order = np.argsort(records["sequence"])
    breaks = (np.diff(records["sequence"][order]) != 1) | (np.diff(records["stream"][order]) != 0)
    return [layout.stretch(records[part]) for part in np.split(order, np.flatnonzero(breaks) + 1) if len(part)]


def parts_of(file: IO[bytes], layout: HistoryLayout) -> Iterator[Records]:
    """Yield all records in the order of their places, some at a time."""
    file.seek(HEADER_BYTES)
    at_once = max(1, _AT_ONCE // layout.record.itemsize)
    for start in range(0, layout.capacity, at_once):
        data = file.read(min(at_once, layout.capacity - start) * layout.record.itemsize)
        yield np.frombuffer(data[: len(data) - len(data) % layout.record.itemsize], layout.record)


def _wanted(records: Records, since: float | None) -> Records:
    late = records if since is None else records[records["time"] >= since]
    return late[whole(late)]


def _unusable(path: Path, found: str, expected: str, remedy: str | None) -> StateError:
    return StateError(
        f"Cannot use the history {path}",
        found=found,
        expected=expected,
        remedy=remedy or "Start asd-edge run again with the bundle of the device file: it begins a new history.",
    )
