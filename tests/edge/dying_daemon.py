"""`python -m tests.edge.dying_daemon DEVICE_FILE FOLDER HOW`: a real daemon whose faster engine, in FOLDER, is its end.

HOW: `search` dies where it is looked for, `serve` after a few runs, `hang` does not return from one. The daemon's own
patience is shortened.
"""

from __future__ import annotations

import atexit
import logging
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from asd_edge.config import load_config
from asd_edge.daemon import probation, supervisor
from asd_edge.serving.accelerator import Accelerator
from tests.edge.accelerators import FailingStream, SecondEngine

RUNS = 40  # beyond those of the parity gate


class Deadly(FailingStream):
    """Computes for a while, then is the process's end."""

    def __init__(self, engine: Any, how: str) -> None:
        super().__init__(engine, RUNS)
        self._how = how

    def _fails(self) -> bool:
        if super()._fails():
            die() if self._how == "serve" else time.sleep(1000.0)
        return False


def die() -> None:
    signal.raise_signal(signal.SIGSEGV)  # in this thread, which goes no further


def main() -> None:
    path, folder, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    logging.basicConfig(level=logging.INFO)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    atexit.register(time.sleep, 1000.0)  # as what is freed waits for a GPU that hangs

    def find(_: Path) -> Accelerator:
        if how == "search":
            die()
        return SecondEngine(folder, engine=lambda plain: Deadly(plain, how))

    supervisor.installed_tensorrt = lambda: find  # type: ignore[assignment]
    supervisor._BROKER_HEAD_START_S, supervisor._WAKE_S = 0.0, 0.1
    supervisor._STOP_PATIENCE_S = supervisor._DELIVERY_PATIENCE_S = 0.2
    probation.HANGS_AFTER_S = 0.5
    sys.exit(supervisor.Daemon(load_config(path), path).run())


if __name__ == "__main__":
    main()
