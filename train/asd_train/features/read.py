"""Features and samples of clips, computed by the device's own code."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.errors import DataError
from asd_edge.sources.file import read_clip

from ..data.clip import Clip
from ..data.features_file import is_features, load_features
from ..progress import Progress

T = TypeVar("T")
R = TypeVar("R")

_THREADS = 2
_AHEAD = 16  # clips computed before they are asked for: bounds the memory whatever the number of clips


def read_features(
    clips: Sequence[Clip], spec: FrontEndSpec, *, channel: int | None, progress: Progress
) -> list[NDArray[np.float32]]:
    """Return the frames of each clip, float32 [frames, bands] a clip.

    Raises:
        SourceError: a clip cannot be read.
        DataError: a file of features that does not fit the front end.
    """
    return list(stream_features(clips, spec, channel=channel, progress=progress))


def stream_features(
    clips: Sequence[Clip], spec: FrontEndSpec, *, channel: int | None, progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """Yield what `read_features` returns, one clip after the other, holding a few of them at a time."""
    own = threading.local()  # a front end serves one thread, and takes longer to make than to use on a clip

    def frames(clip: Clip) -> NDArray[np.float32]:
        if is_features(clip.path):
            return load_features(clip.path, bands=spec.bands)
        samples = read_clip(clip.path, rate=spec.sample_rate, channel=channel)
        if not hasattr(own, "front_end"):
            own.front_end = FrontEnd(spec)
        front_end: FrontEnd = own.front_end
        front_end.reset()
        return front_end.push(samples).features

    return progress.track(_map(frames, clips), "reading clips", len(clips))


def stream_samples(
    clips: Sequence[Clip], rate: int, *, channel: int | None, progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """Yield the samples of each clip, float32 [n] in -1..1 at `rate`, as the device hears them.

    Raises:
        SourceError: a clip cannot be read.
        DataError: a clip that is a file of features.
    """

    def samples(clip: Clip) -> NDArray[np.float32]:
        if is_features(clip.path):
            raise DataError(
                f"The clip {clip.path.name} has no samples",
                found="a file of features",
                expected="WAV or FLAC: the recipe mixes waveforms or takes the spectrum of whole segments",
                remedy="Train on the recordings, or choose a recipe that needs log-mel features alone.",
            )
        return read_clip(clip.path, rate=rate, channel=channel)

    return progress.track(_map(samples, clips), "reading clips", len(clips))


def _map(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield function(item) in order, computed in threads, never more than `_AHEAD` items before the consumer."""
    waiting = iter(items)
    with ThreadPoolExecutor(_THREADS) as pool:
        begun: deque[Future[R]] = deque(pool.submit(function, item) for item in islice(waiting, _AHEAD))
        try:
            while begun:
                yield begun.popleft().result()
                begun.extend(pool.submit(function, item) for item in islice(waiting, 1))
        finally:
            for future in begun:
                future.cancel()
