"""Log-mel features of clips, computed by the device's own front end."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.sources.file import read_clip

from .data.clip import Clip
from .progress import Progress


def read_features(
    clips: Sequence[Clip], spec: FrontEndSpec, *, channel: int | None, progress: Progress
) -> list[NDArray[np.float32]]:
    """Return the frames of each clip, float32 [frames, bands] a clip.

    Raises:
        SourceError: a clip cannot be read.
    """

    def frames(clip: Clip) -> NDArray[np.float32]:
        samples = read_clip(clip.path, rate=spec.sample_rate, channel=channel)
        return FrontEnd(spec).push(samples).features

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(progress.track(pool.map(frames, clips), "reading clips", len(clips)))
