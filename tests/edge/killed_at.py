"""kill -9 at one step of some work. Nothing is replaced: the code that runs is the product's own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

TOUCHES = frozenset(
    {"open", "mkstemp", "mkdir", "write", "flush", "fsync", "fcntl", "fchmod", "fchown", "replace", "rename"}
    | {"link", "unlink", "close", "ftruncate", "pwrite", "fdopen"}
)
"""C functions that touch the disk."""


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Fork a child that does the work and kills itself at a step; say whether it came that far.

    A step is a call of a function that touches the disk, counted before and after it runs.
    """
    child = os.fork()
    if child == 0:
        left = step

        def count(frame: Any, event: str, function: Any) -> None:
            nonlocal left
            if event in ("c_call", "c_return") and getattr(function, "__name__", "") in TOUCHES:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        work()
        sys.setprofile(None)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
