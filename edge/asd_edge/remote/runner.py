"""A command's work, done by a child process that comes after the daemon in everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from asd_edge.child import OneChild, kill

ASD_EDGE: tuple[str, ...] = (sys.executable, "-m", "asd_edge.cli")
TIMEOUT_S = 300.0
OUTPUT_LIMIT = 96 << 10
"""Bytes of either output: a response still fits where a broker takes messages of 128 KiB."""

_NICE = 10
_KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")  # no credentials, no socket of systemd


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the child printed, as JSON (None: it did its work in silence); or why it failed, as text."""

    result: Any = None
    error: str | None = None


class Runner:
    """Runs one child at a time.

    Args:
        executable: what the arguments follow.
        timeout_s: the child is killed after that.
    """

    def __init__(self, executable: Sequence[str] = ASD_EDGE, *, timeout_s: float = TIMEOUT_S) -> None:
        self._executable = executable
        self._timeout_s = timeout_s
        self._one = OneChild()

    def run(self, arguments: Sequence[str]) -> Outcome:
        """Run the child to its end; never raises for what a child does."""
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        try:
            child = self._one.start([*self._executable, *arguments], env)
        except OSError as error:
            return Outcome(error=f"the command cannot be started: {error}")
        if child is None:
            return Outcome(error="the daemon is stopping")
        try:
            return self._outcome(child)
        finally:
            self._one.done()

    def stop(self) -> None:
        """Kill the child, and start none any more; called by another thread than `run`."""
        self._one.stop()

    def _outcome(self, child: subprocess.Popen[bytes]) -> Outcome:
        with suppress(ProcessLookupError):  # it may be over already
            # Not in a preexec_fn, which may hang in a process with threads; a value below our own needs privileges.
            os.setpriority(os.PRIO_PROCESS, child.pid, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
        assert child.stdout is not None
        assert child.stderr is not None
        output, errors = _Reader(child, child.stdout), _Reader(child, child.stderr)
        try:
            code = child.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            return Outcome(error=f"the command was stopped after {self._timeout_s:g} s")
        finally:
            kill(child)
            child.wait()
            output.join()
            errors.join()
        if self._one.stopped:
            return Outcome(error="the command was stopped because the daemon is stopping")
        if output.overflowed or errors.overflowed:
            return Outcome(error=f"the command was stopped: it printed more than {OUTPUT_LIMIT} bytes")
        if code != 0:
            return Outcome(error=errors.data.decode("utf-8", "replace").strip() or f"the command ended with {code}")
        if not output.data.strip():
            return Outcome()
        try:
            return Outcome(json.loads(output.data, parse_constant=_no_constant))
        except ValueError as error:
            return Outcome(error=f"the command printed something else than JSON: {error}")


class _Reader(threading.Thread):
    """Reads a child's output, up to the limit; beyond that it kills the child."""

    def __init__(self, child: subprocess.Popen[bytes], stream: IO[bytes]) -> None:
        super().__init__(name="remote-output", daemon=True)
        self.data = b""
        self.overflowed = False
        self._child = child
        self._stream = stream
        self.start()

    def run(self) -> None:
        with self._stream:
            self.data = self._stream.read(OUTPUT_LIMIT + 1)
            if len(self.data) > OUTPUT_LIMIT:
                self.overflowed = True
                kill(self._child)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
