"""A microphone without hardware: ALSA's file plugin plays raw samples into whoever records."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from tests.edge.required import required_tool

NAME = "virtual"
_CONFIG = """
</usr/share/alsa/alsa.conf>
pcm.{name} {{
    type file
    slave.pcm "null"
    file "/dev/null"
    infile "{infile}"
    format "raw"
}}
"""


@contextmanager
def virtual_microphone(folder: Path, samples: NDArray[np.int16] | None) -> Iterator[str]:
    """Give the ALSA name of a device that hears these samples, as fast as they are read; None hears nothing."""
    required_tool("arecord", "alsa-utils")
    infile = folder / "microphone.raw"
    if samples is None:
        os.mkfifo(infile)  # nobody ever writes to it
    else:
        samples.astype("<i2").tofile(infile)
    config = folder / "asound.conf"
    config.write_text(_CONFIG.format(name=NAME, infile=infile))
    with patch.dict(os.environ, ALSA_CONFIG_PATH=str(config)):
        yield NAME


@contextmanager
def fed_microphone(folder: Path, make: Callable[[int, int], NDArray[np.int16]], *, every_s: float) -> Iterator[str]:
    """Give the name of a device that hears `make(start, count)`, int16 [count, channels], without end.

    So much as a pipe takes at once comes after every `every_s`: ALSA's plugin fills up with silence what it does not
    find in one go.
    """
    over = threading.Event()

    def feed() -> None:
        # Opened for both, so that it waits for nobody and goes on when a recorder leaves.
        pipe = os.open(folder / "microphone.raw", os.O_RDWR | os.O_NONBLOCK)
        start, count = 0, select.PIPE_BUF // make(0, 1).nbytes  # so much is written at once or not at all
        while not over.wait(every_s):
            with suppress(BlockingIOError):  # full
                os.write(pipe, make(start, count).astype("<i2").tobytes())
                start += count
        os.close(pipe)

    with virtual_microphone(folder, None) as name:
        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            yield name
        finally:
            over.set()
            feeder.join()
