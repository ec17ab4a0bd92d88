"""Run a command that comes last in everything: `python -m asd_edge.serving.come_last PARENT COMMAND…`.

The process prepares itself and becomes the command: what is set here holds for it and for its children, and needs no
code between fork and exec in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def command(*words: str) -> list[str]:
    """Return what to start for `words` to come last after this process, and to end with the thread that starts it."""
    return [sys.executable, "-m", "asd_edge.serving.come_last", str(os.getpid()), *words]


def _come_last() -> None:
    try:
        # Only time that nobody wants; what the disk does for an idle task is idle too (ioprio_set(2), block/ioprio.c).
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:  # a sandbox that forbids it
        os.nice(19)
    with suppress(OSError):  # when memory runs out the kernel takes this process, not the one that listens
        Path("/proc/self/oom_score_adj").write_text("1000")


def _end_with(parent: int) -> None:
    """Be killed when the parent's thread ends, however it does (prctl(2)); it holds through exec."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before this held
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """Become the command; does not return."""
    parent, *words = arguments
    _end_with(int(parent))
    _come_last()
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1:])
