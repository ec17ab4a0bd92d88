"""Clips to enroll: what of each can be used, and why the rest cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import EnrollmentError
from asd_edge.offline import EmbeddedClip, embed_clip
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import EmbeddedSegments

MOST_CLIPS = 500
"""Enough for hours of sound; more would spend the device's time on what a few clips tell."""

MOST_BYTES = 256 << 20
"""Of embeddings in memory: 500 clips of a quarter of an hour at 128 numbers a second, two hours at 8384."""

SILENCE_DBFS = -85.0
"""A segment softer than this came from no running machine: a 16-bit microphone's own noise is louder."""

FULL_SCALE = 0.999
CLIPPED_RUN = 3
"""So many samples in a row at full scale are a clipped peak: a sine that just reaches it touches it once or twice."""


@dataclass(frozen=True)
class RecordedClip:
    """A recording to enroll. `samples`: float32 [n] at the bundle's rate."""

    name: str
    samples: NDArray[np.float32]

    @property
    def sha256(self) -> str:
        """Digest of the samples."""
        return hashlib.sha256(self.samples.tobytes()).hexdigest()


@dataclass(frozen=True)
class HeardClip:
    """A clip after it was embedded; its samples are gone.

    `sound`: its segments, those that cannot be used muted. `rejected`: why the whole clip cannot be used, else None.
    `silent`, `clipped`: how many of its segments are.
    """

    name: str
    sha256: str
    seconds: float
    level_dbfs: float
    sound: EmbeddedClip | None
    silent: int = 0
    clipped: int = 0
    rejected: str | None = None

    @property
    def segments(self) -> int:
        """How many segments it has."""
        return 0 if self.sound is None else len(self.sound.segments)

    @property
    def used(self) -> int:
        """How many of them are used."""
        return 0 if self.rejected is not None else self.segments - self.silent - self.clipped

    @property
    def memory(self) -> int:
        """Bytes of its embeddings."""
        return 0 if self.sound is None else self.sound.segments.embeddings.nbytes

    def without(self, reason: str) -> HeardClip:
        """Return this clip as rejected."""
        return replace(self, rejected=reason)


def hear_clips(
    pipeline: Pipeline, clips: Iterable[RecordedClip], *, progress: Callable[[str], None]
) -> list[HeardClip]:
    """Embed clips one by one, keeping no samples, and find what in them cannot be used.

    Raises:
        EnrollmentError: no clips, more than MOST_CLIPS, or more sound than MOST_BYTES of embeddings hold.
    """
    heard: list[HeardClip] = []
    taken = 0
    seen: dict[str, str] = {}
    for clip in clips:
        if len(heard) == MOST_CLIPS:
            raise too_many_clips(f"more than {MOST_CLIPS}")
        digest = clip.sha256
        if digest in seen:
            reason = f"copy of {seen[digest]}: a copy teaches nothing about how much normal sound varies"
            heard.append(_rejected(pipeline, clip, digest, reason))
        else:
            seen[digest] = clip.name
            heard.append(_heard(pipeline, clip, digest))
            taken += heard[-1].memory
            if taken > MOST_BYTES:
                raise _too_much_sound(sum(clip.seconds for clip in heard))
        progress(clip.name)
    if not heard:
        raise EnrollmentError(
            "There is nothing to enroll",
            found="no clips",
            expected="clips of the machine running normally",
            remedy="Record three or more clips, ten seconds each, some minutes apart.",
        )
    return heard


def too_many_clips(found: str) -> EnrollmentError:
    """Return the error of an enrollment that would take too long."""
    return EnrollmentError(
        "Too many clips to enroll",
        found=found,
        expected=f"at most {MOST_CLIPS}",
        remedy="Choose some from all hours of the day: a condition is a mean, and ten good clips tell it.",
    )


def _too_much_sound(seconds: float) -> EnrollmentError:
    return EnrollmentError(
        "Too much sound to enroll",
        found=f"{seconds / 60.0:.0f} minutes, and more",
        expected=f"as much as {MOST_BYTES >> 20} MiB of embeddings hold",
        remedy="Choose ten clips from all hours of the day, ten seconds each or a few minutes at most.",
    )


def _heard(pipeline: Pipeline, clip: RecordedClip, digest: str) -> HeardClip:
    rate = pipeline.front_end.sample_rate
    if len(clip.samples) < pipeline.shortest_samples:
        least_s = pipeline.shortest_samples / rate
        return _rejected(pipeline, clip, digest, f"too short: a segment and its context need {least_s:.1f} s")
    segments = embed_clip(pipeline, clip.samples, name=clip.name).segments
    peaks = clipped_samples(clip.samples)
    # Mean square of what varies: an offset of a dead microphone is no sound.
    silent = _level_dbfs(clip.samples) < SILENCE_DBFS
    quiet = np.full(len(segments), silent) | (segments.power < 10.0 ** (SILENCE_DBFS / 10.0))
    clipped = _touched(pipeline, segments, peaks) & ~quiet
    base = HeardClip(
        name=clip.name,
        sha256=digest,
        seconds=len(clip.samples) / rate,
        level_dbfs=_level_dbfs(clip.samples),
        sound=EmbeddedClip(clip.name, muted(segments, quiet | clipped)),
        silent=int(quiet.sum()),
        clipped=int(clipped.sum()),
    )
    if quiet.all():
        return base.without(f"silent: {base.level_dbfs:.0f} dBFS; check that the microphone works and the machine runs")
    if base.used == 0:
        return base.without("clipped throughout: turn the microphone's gain down")
    return base


def _rejected(pipeline: Pipeline, clip: RecordedClip, digest: str, reason: str) -> HeardClip:
    seconds = len(clip.samples) / pipeline.front_end.sample_rate
    return HeardClip(clip.name, digest, seconds, _level_dbfs(clip.samples), None, rejected=reason)


def muted(segments: EmbeddedSegments, mask: NDArray[np.bool_]) -> EmbeddedSegments:
    """Return the segments with those in `mask` without power, so that they weigh nothing in any window or centre."""
    zero = np.float32(0.0)
    return EmbeddedSegments(
        segments.first_frame,
        segments.embeddings,
        np.where(mask, zero, segments.power),
        np.where(mask, zero, segments.high_power),
    )


def clipped_samples(samples: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return where CLIPPED_RUN samples in a row stand at full scale, int64 [runs], the index of each run's first."""
    full = np.abs(samples) >= FULL_SCALE
    run = full[: len(full) - CLIPPED_RUN + 1].copy()
    for later in range(1, CLIPPED_RUN):
        run &= full[later : len(full) - CLIPPED_RUN + 1 + later]
    return np.flatnonzero(run)


def _touched(pipeline: Pipeline, segments: EmbeddedSegments, at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which segments contain one of the samples `at`."""
    hop, window = pipeline.front_end.hop, pipeline.front_end.window
    starts = segments.first_frame * hop
    stops = starts + (pipeline.segment.frames - 1) * hop + window
    return np.asarray(np.searchsorted(at, stops) > np.searchsorted(at, starts), dtype=np.bool_)


def _level_dbfs(samples: NDArray[np.float32]) -> float:
    return 10.0 * float(np.log10(max(float(np.var(samples, dtype=np.float64)) if len(samples) else 0.0, 1e-12)))


def used_sounds(clips: Sequence[HeardClip]) -> list[EmbeddedClip]:
    """Return the sound of the clips that are not rejected."""
    return [clip.sound for clip in clips if clip.rejected is None and clip.sound is not None]
