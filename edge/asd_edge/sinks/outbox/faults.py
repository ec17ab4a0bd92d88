"""What can be wrong with the file of an outbox."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class DiskFaultError(Exception):
    """The disk does not take or give what it should; it may do so later. `full`: whether room would help."""

    def __init__(self, text: str, *, full: bool = False) -> None:
        super().__init__(text)
        self.full = full


class DamagedError(Exception):
    """The file is no outbox, or not a whole one any more."""


@contextmanager
def classified() -> Iterator[None]:
    """Turn the errors of SQLite and of the disk into these; what is wrong with the caller's values stays as it is."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError):
        raise
    except sqlite3.OperationalError as error:
        text = str(error)
        if "malformed" in text or "no such" in text:  # the schema itself cannot be read
            raise DamagedError(text) from error
        raise DiskFaultError(text, full="full" in text) from error  # SQLite's code has a name from Python 3.11 on only
    except sqlite3.DatabaseError as error:
        raise DamagedError(str(error)) from error
    except OSError as error:
        raise DiskFaultError(error.strerror or str(error), full=error.errno in _NO_ROOM) from error
