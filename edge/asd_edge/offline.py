"""Whole clips through the streaming pipeline. What lacks its end, or the context behind it, is not embedded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import SourceError
from asd_edge.pipeline import Pipeline, SegmentStream
from asd_edge.scoring.aggregation import EmbeddedSegments, Windows

_BLOCK_S = 10.0  # bounds the memory of a long clip; the result does not depend on it


@dataclass(frozen=True)
class EmbeddedClip:
    """A clip's name and its segments."""

    name: str
    segments: EmbeddedSegments


def embed_clip(pipeline: Pipeline, samples: NDArray[np.float32], *, name: str) -> EmbeddedClip:
    """Embed every segment of a clip, float32 [n] at the pipeline's rate.

    Raises:
        SourceError: the clip is shorter than one segment.
    """
    check_length(pipeline, samples, name=name)
    stream = SegmentStream(pipeline)
    step = int(_BLOCK_S * pipeline.front_end.sample_rate)
    segments = stream.push(samples[:step])
    for start in range(step, len(samples), step):
        segments = segments.joined(stream.push(samples[start : start + step]))
    return EmbeddedClip(name, segments)


def check_length(pipeline: Pipeline, samples: NDArray[np.float32], *, name: str) -> None:
    """Refuse a clip, float32 [n] at the pipeline's rate, that has no whole segment.

    Raises:
        SourceError: it is shorter than one segment and the context that this needs.
    """
    rate = pipeline.front_end.sample_rate
    if len(samples) < pipeline.shortest_samples:
        raise SourceError(
            f"The clip {name} is too short",
            found=f"{len(samples) / rate:.2f} s",
            expected=f"at least {pipeline.shortest_samples / rate:.2f} s (one segment and the context it needs)",
            remedy="Record a longer clip; ten seconds is a good length.",
        )


def windows_of(pipeline: Pipeline, clip: EmbeddedClip) -> list[EmbeddedSegments]:
    """Return the windows the daemon would score in this clip; a short clip is one window."""
    windows = Windows(pipeline.window)
    return windows.push(clip.segments) + windows.flush()


# An idle machine is told from a running one by level. Ten decibels below the quietest twentieth of the normal
# segments leaves room for a machine that runs softer, and keeps silence between events (valves) above the floor
# only when it was enrolled as part of normal sound.
_IDLE_MARGIN_DB = 10.0
_IDLE_PERCENTILE = 5.0


def idle_floor_of(clips: Iterable[EmbeddedClip]) -> float:
    """Return the mean square at or below which a segment counts as idle, from clips of the running machine.

    Segments without any power (digital silence, or muted because they cannot be used) tell nothing of its level.
    """
    power = np.concatenate([clip.segments.power for clip in clips])
    heard = power[power > 0.0]
    quiet = float(np.percentile(heard, _IDLE_PERCENTILE)) if len(heard) else 0.0
    return quiet * float(10.0 ** (-_IDLE_MARGIN_DB / 10.0))
