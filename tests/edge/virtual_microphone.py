"""A microphone without hardware: ALSA's file plugin plays raw samples into whoever records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
