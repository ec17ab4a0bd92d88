"""Clips whose features came in a file: through the pipeline from there on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import Frames
from asd_edge.errors import DataError
from asd_edge.offline import EmbeddedClip
from asd_edge.pipeline import Pipeline


def embed_features(pipeline: Pipeline, features: NDArray[np.float32], *, name: str) -> EmbeddedClip:
    """Embed every segment of a clip given as log-mel, float32 [frames, bands].

    Log-mel tells the level of a frame well enough to tell idle from running: its power is the sum over the bands, and
    its high-passed power the sum over those above the high pass. Neither is in the unit of samples.

    Raises:
        DataError: fewer frames than a segment with its context, or segments that need samples.
    """
    check_features(pipeline, features, name=name)
    spec = pipeline.front_end
    power = np.power(10.0, 0.1 * features.astype(np.float64))
    peaks = spec.mel().argmax(axis=0) * (spec.sample_rate / spec.window)  # Hz, where each band hears best
    levels = power.sum(axis=1), power[:, peaks >= spec.pass_hz].sum(axis=1)
    frames = Frames(0, features, *(level.astype(np.float32) for level in levels))
    embedding = pipeline.embedding()
    (segments,) = embedding.advance([embedding.initial_state()], [frames])
    return EmbeddedClip(name, segments)


def check_features(pipeline: Pipeline, features: NDArray[np.float32], *, name: str) -> None:
    """Refuse a clip given as log-mel, float32 [frames, bands], that has no whole segment or not enough for one.

    Raises:
        DataError: fewer frames than a segment with its context, or segments that need samples.
    """
    spec, needed = pipeline.front_end, pipeline.segment.frames + 2 * pipeline.context
    if spec.feature != "log_mel" or pipeline.segment.spectrum:
        raise DataError(
            f"The clip {name} has no samples",
            found="a file of log-mel features",
            expected="WAV or FLAC: the recipe hears magnitudes or the spectrum of whole segments",
            remedy="Give the recordings, or choose a recipe that needs log-mel alone.",
        )
    if len(features) < needed:
        raise DataError(
            f"The clip {name} is too short",
            found=f"{len(features)} frames",
            expected=f"at least {needed} frames: a segment and the context it needs",
            remedy="Leave it out, or make a longer one.",
        )
