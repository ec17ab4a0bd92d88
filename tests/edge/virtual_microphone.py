"""A microphone without hardware: ALSA's file plugin plays raw samples into whoever records."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

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
    if shutil.which("arecord") is None:
        missing = "arecord is not installed (apt-get install alsa-utils)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    infile = folder / "microphone.raw"
    if samples is None:
        os.mkfifo(infile)  # nobody ever writes to it
    else:
        samples.astype("<i2").tofile(infile)
    config = folder / "asound.conf"
    config.write_text(_CONFIG.format(name=NAME, infile=infile))
    with patch.dict(os.environ, ALSA_CONFIG_PATH=str(config)):
        yield NAME
