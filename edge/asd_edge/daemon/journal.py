"""Log records to systemd's journal with fields of their own (systemd.journal-fields(7), Journal Native Protocol).

`journalctl ASD_MACHINE=fan-7` then finds what was said of a machine. The systemd-python package does this too, but has
to be compiled on the device.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from contextlib import suppress

_SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
_LONGEST = 48 * 1024  # characters of a message, which must fit into one datagram
_PATIENCE_S = 1.0
_MACHINE_THREAD = "machine-"


def connected_to_journal() -> bool:
    """Say whether standard error goes to the journal already, by the inode that systemd names (systemd.exec(5))."""
    with suppress(OSError, AttributeError, ValueError):
        stderr = os.fstat(sys.stderr.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"
    return False


class JournalHandler(logging.Handler):
    """Sends each record as one datagram; what the journal does not take goes to standard error.

    A record's `asd_machine` and `asd_event` (logging's `extra`) become fields; a machine's own thread needs no extra.
    """

    def __init__(self, address: str = _SOCKET) -> None:
        super().__init__()
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_PATIENCE_S)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        try:
            text = self.format(record)[:_LONGEST]
            self._socket.sendto(b"".join(_field(*pair) for pair in _fields(record, text)), self._address)
        except OSError:  # journald restarts, perhaps
            with suppress(OSError):
                print(text, file=sys.stderr)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        super().close()


def _fields(record: logging.LogRecord, text: str) -> list[tuple[str, str]]:
    thread = record.threadName or ""
    machine = getattr(record, "asd_machine", None)
    if machine is None and thread.startswith(_MACHINE_THREAD):
        machine = thread[len(_MACHINE_THREAD) :]
    fields = {
        "MESSAGE": text,
        "PRIORITY": str(_PRIORITIES.get(record.levelno, 6)),
        "SYSLOG_IDENTIFIER": "asd-edge",
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName,
        "ASD_THREAD": thread,
        "ASD_MACHINE": machine,
        "ASD_EVENT": getattr(record, "asd_event", None),
    }
    return [(name, str(value)) for name, value in fields.items() if value is not None]


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    # A line break would end the field: the length goes before it then, 64 bits little-endian.
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
