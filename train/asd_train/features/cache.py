"""The cache: features and samples are computed once for a set of clips and then mapped from the disk.

An entry is found by a digest of all that its rows depend on. So nothing is ever invalidated: what changes is looked
for under another name. The folder may be deleted at any time, also in part.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.errors import DataError
from asd_edge.strict import RefusalError

from ..data.clip import Clip
from ..progress import Progress
from .corpus import Corpus
from .pack import map_pack, write_pack
from .read import stream_features, stream_samples

_ABANDONED_S = 24 * 3600.0  # a temporary file nobody has written to for so long was left by a process that was killed


def cache_folder(chosen: Path | None = None) -> Path:
    """Return the folder given with --cache, or `ASD_EDGE_CACHE`, or the user's cache (XDG Base Directory)."""
    if chosen is not None:
        return chosen
    if folder := os.environ.get("ASD_EDGE_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asd-edge"


class Cache:
    """Corpora of clips, kept in `folder`, which is made when it is needed.

    Safe against kill -9 at any moment and any number of processes that fill it at once: an entry appears whole, by a
    rename. It is checked before use, and made again if it is damaged. Processes that start together on an empty cache
    all compute; let one of them go first (Fabric: `rank_zero_first`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def features(self, clips: Sequence[Clip], spec: FrontEndSpec, *, channel: int | None, progress: Progress) -> Corpus:
        """Return the frames of the clips, float32 [frames, bands] each, as the device computes them.

        Raises:
            SourceError: a clip cannot be read.
            DataError: a file of features that does not fit the front end, or a folder that cannot hold the corpus.
        """
        made_from = {"kind": "features", "front_end": asdict(spec), "computes": _sample_of(spec)}
        make = partial(stream_features, clips, spec, channel=channel, progress=progress)
        return self._open(made_from | _identity(clips, channel), (spec.bands,), make)

    def samples(self, clips: Sequence[Clip], rate: int, *, channel: int | None, progress: Progress) -> Corpus:
        """Return the samples of the clips, float32 [n] each, at `rate` samples a second.

        They are kept as the device hears them, in float32: int16 would halve the file, but round what 24-bit and
        float recordings hold below 16 bits.

        Raises:
            SourceError: a clip cannot be read.
            DataError: a clip that is a file of features, or a folder that cannot hold the corpus.
        """
        made_from = {"kind": "samples", "rate": rate}
        make = partial(stream_samples, clips, rate, channel=channel, progress=progress)
        return self._open(made_from | _identity(clips, channel), (), make)

    def _open(
        self, made_from: dict[str, object], shape: tuple[int, ...], make: Callable[[], Iterable[NDArray[np.float32]]]
    ) -> Corpus:
        key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
        path = self.folder / f"{key}.pack"
        try:
            rows, index = map_pack(path, key)
        except (OSError, RefusalError):
            with _writable(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                _remove_abandoned(self.folder)
                write_pack(path, key, shape, make())
                rows, index = map_pack(path, key)
        return Corpus.of_rows(rows, index.lengths)


def _identity(clips: Sequence[Clip], channel: int | None) -> dict[str, object]:
    return {"channel": channel, "clips": [_file(clip.path) for clip in clips]}


# Reading every clip to hash it takes as long as computing its features. The time of the inode's last change tells of
# content that was replaced with its size and modification time kept (cp -p, rsync -t); a clip that was only renamed or
# had its permissions changed is computed once more.
def _file(path: Path) -> list[str | int]:
    try:
        status = path.stat()
    except OSError:  # read_clip says it better
        return [str(path)]
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns]


# What the front end makes of a little noise stands for its code: a version number could be forgotten. Two decimals:
# another machine's rounding gives the same entry.
def _sample_of(spec: FrontEndSpec) -> list[list[float]]:
    noise = np.random.default_rng(0).standard_normal(spec.window + spec.hop).astype(np.float32)
    features = FrontEnd(spec).push(noise).features
    rounded: list[list[float]] = features.round(2).astype(np.float64).round(2).tolist()
    return rounded


def _remove_abandoned(folder: Path) -> None:
    for temporary in folder.glob(".*.tmp"):
        try:
            if time.time() - temporary.stat().st_mtime > _ABANDONED_S:
                temporary.unlink()
        except FileNotFoundError:  # another process was quicker
            continue


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RefusalError) as error:
        raise DataError(
            f"The features cannot be kept in {folder}",
            found=error.found if isinstance(error, RefusalError) else error.strerror or str(error),
            expected="a folder that can be written and has room for them",
            remedy="Choose another folder with --cache, or make room.",
        ) from None
