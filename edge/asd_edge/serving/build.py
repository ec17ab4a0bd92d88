"""The build of an engine: a child process that comes last, within limits, and that cannot outlive the daemon."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, Any

from asd_edge.child import OneChild, kill
from asd_edge.serving.come_last import command

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.2
_RESULT_LIMIT = 64 << 10  # bytes
_LOGGED_LINES, _LINE_LENGTH = 200, 300
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """What a build may take: seconds, and bytes of memory of its processes together.

    The memory is watched, not limited: TensorRT reserves address space by the ten gigabytes, so that RLIMIT_AS ends
    every build, and what is resident is what the daemon would miss. A Jetson's GPU takes of the same memory outside
    of any resident size, so `spare_bytes` have to stay available to everybody, as Linux estimates it [ours: 256 MiB].
    What is taken between two looks is the kernel's business, which ends this child first (come_last).
    """

    timeout_s: float
    memory_bytes: int
    spare_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the child said in the last line of its output, as JSON; or why there is none."""

    result: Any = None
    error: str | None = None


class BuildChild:
    """Runs one child at a time, from one thread, which has to live as long as the child is to."""

    def __init__(self, limits: BuildLimits) -> None:
        self._limits = limits
        self._one = OneChild()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called: then the outcome says nothing about the build."""
        return self._one.stopped

    def run(self, words: Sequence[str]) -> Outcome:
        """Run a command to its end; never raises for what it does. Its standard error goes to the log."""
        try:
            child = self._one.start(command(*words))
        except OSError as error:
            return Outcome(error=f"the build cannot be started: {error}")
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
        assert child.stdout is not None
        assert child.stderr is not None
        said, told = _LastLine(child.stdout), _Log(child.stderr)
        try:
            beyond = self._watch(child)
        finally:
            kill(child)  # and what it left behind
            child.wait()
            said.join()
            told.join()
        if self.stopped:
            return Outcome(error="the daemon is stopping")
        if beyond is not None:
            return Outcome(error=beyond)
        if child.returncode != 0:
            return Outcome(error=f"the build {_end(child.returncode)}{told.last_words}")
        try:
            return Outcome(json.loads(said.line))
        except ValueError:
            return Outcome(error="the build ended without a result")

    def _watch(self, child: subprocess.Popen[bytes]) -> str | None:
        """Wait until the child ends or is beyond a limit; say which."""
        deadline = monotonic() + self._limits.timeout_s
        while True:
            try:
                child.wait(min(_LOOK_EVERY_S, max(0.0, deadline - monotonic())))
                return None
            except subprocess.TimeoutExpired:
                if monotonic() >= deadline:
                    return f"the build was not done after {self._limits.timeout_s:g} s (engine.build_timeout_s)"
            if (taken := _resident_bytes(child.pid)) > self._limits.memory_bytes:
                allowed = self._limits.memory_bytes >> 20
                return f"the build took {taken >> 20} MiB of memory, {allowed} are allowed (engine.build_memory_mib)"
            if (left := _available_bytes()) is not None and left < self._limits.spare_bytes:
                spare = self._limits.spare_bytes >> 20
                return f"{left >> 20} MiB of memory were left for everything else during the build, of {spare} needed"


class _LastLine(threading.Thread):
    """Reads a child's output to its end and keeps the last line of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(name="build-output", daemon=True)
        self.line = b""
        self._stream = stream
        self.start()

    def run(self) -> None:
        with self._stream:
            for line in iter(lambda: self._stream.readline(_RESULT_LIMIT), b""):
                self.line = line


class _Log(threading.Thread):
    """Passes a child's standard error on to the log, as far as a log should go."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(name="build-log", daemon=True)
        self._stream = stream
        self._last = ""
        self.start()

    @property
    def last_words(self) -> str:
        """The last line, to end a sentence with."""
        return f": {self._last}" if self._last else ""

    def run(self) -> None:
        with self._stream:
            for number, line in enumerate(iter(lambda: self._stream.readline(_LINE_LENGTH), b"")):
                text = "".join(char for char in line.decode("utf-8", "replace") if char.isprintable()).strip()
                self._last = text or self._last
                if text and number < _LOGGED_LINES:
                    _log.info("Engine build: %s", text)


def _end(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _resident_bytes(session: int) -> int:
    """Memory that the processes of a session occupy, bytes: fields 6 and 24 of /proc/<pid>/stat (proc(5))."""
    pages = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):  # it has just ended
            fields = status.read_text(errors="replace").rpartition(")")[2].split()  # from the third on
            if int(fields[3]) == session:
                pages += int(fields[21])
    return pages * _PAGE


def _available_bytes() -> int | None:
    """Memory that can be had without swapping, bytes: MemAvailable of /proc/meminfo (proc(5)); None if unknown."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return None
