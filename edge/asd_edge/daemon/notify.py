"""Tell systemd how the service does (sd_notify(3)): one datagram to the socket it named."""

from __future__ import annotations

import logging
import os
import socket

_log = logging.getLogger(__name__)

_PATIENCE_S = 1.0


def notify(state: str) -> None:
    """Send `READY=1`, `STOPPING=1` or the like; do nothing when systemd is not listening.

    A socket that takes nothing is logged, no more: the daemon listens to machines, told or untold.
    """
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return
    address = "\0" + name[1:] if name.startswith("@") else name  # @ marks Linux's abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_PATIENCE_S)  # a full queue: sound is more important
            channel.sendto(state.encode(), address)
    except OSError as error:
        _log.warning("systemd cannot be told %s at %s: %s", state, name, error)
