"""One process at a time measures a device: two at once measure each other, and the later one keeps what it found."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from asd_edge.lock import locked

_log = logging.getLogger(__name__)

PATIENCE_S: Final = 30.0
"""[ours] A measurement takes seconds; a person's may take minutes, which a daemon that is to hear does not wait for."""
_LOOK_EVERY_S = 0.05


@contextmanager
def measuring(state_dir: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock `engine-choice.lock` of the state folder while something is measured and kept.

    Whoever has waited for it looks again at what is kept. Without a folder to write to nothing is kept, and without the
    lock after `patience_s` the measurement is worth less: neither is a reason not to measure.
    """
    with ExitStack() as held:
        deadline = monotonic() + patience_s
        while True:
            try:
                state_dir.mkdir(parents=True, exist_ok=True)
                path = state_dir / "engine-choice.lock"
                held.enter_context(locked(path, f"process {os.getpid()}", like=state_dir))
                break
            except BlockingIOError:
                if monotonic() >= deadline:
                    _log.warning("Another process is still measuring this device: figures of both may be off")
                    break
                sleep(_LOOK_EVERY_S)
            except OSError:  # keep_choice says why
                break
        yield
