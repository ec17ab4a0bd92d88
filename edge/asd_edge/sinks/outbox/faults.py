"""What can be wrong with the file of an outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


class DiskFaultError(Exception):
    """The disk does not take or give what it should; it may do so later."""

    @property
    def full(self) -> bool:
        """Whether room would help."""
        return "full" in str(self)


class DamagedError(Exception):
    """The file is no outbox, or not a whole one any more."""


@contextmanager
def classified() -> Iterator[None]:
    """Turn SQLite's errors into these."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "malformed" in text or "no such" in text:  # the schema itself cannot be read
            raise DamagedError(text) from error
        raise DiskFaultError(text) from error
    except sqlite3.DatabaseError as error:
        raise DamagedError(str(error)) from error
    except OSError as error:
        raise DiskFaultError(error.strerror or str(error)) from error
