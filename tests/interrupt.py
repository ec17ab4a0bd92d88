"""Ctrl-C as a person presses it."""

from __future__ import annotations

import signal
import subprocess
from typing import Any


def press_ctrl_c(process: subprocess.Popen[Any], *, patience_s: float = 10.0, times: int = 3) -> int:
    """Interrupt a process until it ends; return its exit code.

    CPython loses an interrupt that comes while a weak reference dies or a module's lock is let go (it prints
    "Exception ignored in"), so a person may have to press again.
    """
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    raise AssertionError(f"still running after {times} interrupts")
