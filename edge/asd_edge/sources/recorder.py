"""Keep what a source gave, as a WAV file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import SourceError


@contextmanager
def recorder(path: Path | None, rate: int) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """Give a function that appends mono samples, float32 [n], to a 16-bit WAV file; nothing without a path.

    Raises:
        SourceError: the file cannot be written.
    """
    if path is None:
        yield lambda samples: None
        return
    import soundfile

    try:
        with soundfile.SoundFile(path, "w", rate, 1, "PCM_16", format="WAV") as file:
            yield file.write
    except (OSError, soundfile.LibsndfileError) as error:
        raise SourceError(
            f"The recording {path} cannot be written",
            found=str(error),
            expected="a folder that exists, with room in it",
            remedy="Correct record= in the source, or make room.",
        ) from error
