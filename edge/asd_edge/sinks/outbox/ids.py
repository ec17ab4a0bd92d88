"""A number that no id has reached yet, beside the outbox: ids go on from there when the outbox itself is lost."""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Annotated, Final, Literal

from pydantic import Field

from asd_edge.atomic import atomic_write
from asd_edge.sinks.outbox.faults import DiskFaultError, classified
from asd_edge.strict import RefusalError, Strict, parse_versioned

FORMAT: Final = "asd-edge-outbox-ids"
VERSION: Final = 1
_AHEAD = 1 << 20  # ids promised at once: twelve days of one machine, so the file is written rarely


class _Document(Strict):
    format: Literal["asd-edge-outbox-ids"] = FORMAT
    version: Literal[1] = VERSION
    below: Annotated[int, Field(ge=1)]


class IdPromise:
    """Every id ever used lies below `below`; that is on the disk before one is used.

    Of a file that cannot be read only the clock helps: fewer events than milliseconds have passed since 1970.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.below = self._read()

    def cover(self, last: int) -> None:
        """Promise that ids up to `last` may be used; long before the promise is used up, it is made anew.

        Raises:
            DiskFaultError: the promise is used up and cannot be written.
        """
        if last < self.below - _AHEAD // 2:
            return
        below = last + _AHEAD
        try:
            with classified(), atomic_write(self._path) as stream:
                stream.write(_Document(below=below).model_dump_json().encode())
        except DiskFaultError:
            if last < self.below:  # it holds for a while yet
                return
            raise
        self.below = below

    def _read(self) -> int:
        try:
            return parse_versioned(self._path.read_bytes(), _Document, format=FORMAT, version=VERSION).below
        except FileNotFoundError:
            return 1
        except (OSError, RefusalError):
            return round(time() * 1000.0)
