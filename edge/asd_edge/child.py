"""One child process at a time, which another thread can end for good."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress


class OneChild:
    """Runs one command at a time, from one thread."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.stopped = False
        """Whether `stop` was called: then what became of a child says nothing about its work."""

    def start(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes] | None:
        """Start a command without input, its outputs piped; None once `stop` was called. Whoever starts it reaps it.

        Args:
            command: program and arguments.
            env: its environment; this process's by default.

        Raises:
            OSError: it cannot be started.
        """
        with self._lock:
            if not self.stopped:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=env,
                    start_new_session=True,  # so that a kill reaches the child's own children too
                )
            return self._child

    def done(self) -> None:
        """Forget the child, which is reaped: its number may soon be another's."""
        with self._lock:
            self._child = None

    def stop(self) -> None:
        """Kill the child, and start none any more; called by another thread than `start`."""
        with self._lock:
            self.stopped = True
            if self._child is not None:
                kill(self._child)


def kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a child of `OneChild` and its own children."""
    with suppress(ProcessLookupError, PermissionError):  # it is over
        os.killpg(child.pid, signal.SIGKILL)
