"""The number of a connection, by which a host knows whose death it is told of. It counts through restarts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from pydantic import Field

from asd_edge.atomic import atomic_write
from asd_edge.strict import RefusalError, Strict, parse_versioned

_log = logging.getLogger(__name__)

_FORMAT: Literal["asd-edge-sparkplug"] = "asd-edge-sparkplug"


class _Document(Strict):
    format: Literal["asd-edge-sparkplug"] = _FORMAT
    version: Literal[1] = 1
    bd_seq: int = Field(ge=0, le=255)


class BdSeq:
    """Gives 0, 1 … 255, 0 … from one connection to the next; the last one is kept in a file.

    A file that is damaged or cannot be written stops nobody: the number then counts for as long as the process lives.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = self._load()

    def next(self) -> int:
        """Return the number of a connection that is about to be made; it is on the disk."""
        self._last = (self._last + 1) % 256
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path) as stream:
                stream.write(_Document(bd_seq=self._last).model_dump_json().encode())
        except OSError as error:
            _log.warning("The bdSeq %d cannot be kept in %s: %s", self._last, self._path, error)
        return self._last

    def _load(self) -> int:
        try:
            return parse_versioned(self._path.read_bytes(), _Document, format=_FORMAT, version=1).bd_seq
        except FileNotFoundError:
            pass
        except (OSError, RefusalError) as error:
            _log.warning("The last bdSeq cannot be read from %s, so it starts again at 0: %s", self._path, error)
        return 255  # the first is 0
