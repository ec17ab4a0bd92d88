"""One score of ten seconds, recomputed: what the peers of the streaming engine do for every score."""

from __future__ import annotations

import librosa
import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.benchmark.throughput import WINDOW_S, Score, noise, recomputing
from tests.bench.networks import FRONT_END, Made, window_session
from tests.bench.two_branch import two_branch

_SOUND = noise(WINDOW_S, FRONT_END.sample_rate)


def peers(made: Made) -> dict[str, Score]:
    """Return the ways to recompute a network's window, by name; the first one is what bounds are stated against."""
    pipeline, onnx = made.pipeline(), window_session(made.window)

    def torch_eager(features: NDArray[np.float32]) -> object:
        with torch.inference_mode():
            return made.network(torch.from_numpy(features))

    return {
        "onnx": recomputing(pipeline, onnx),
        "librosa_onnx": lambda: onnx(_librosa(_SOUND)[None]),
        "torch": recomputing(pipeline, torch_eager),
    }


def published() -> dict[str, Score]:
    """Return another network, as published."""
    return {"two_branch": two_branch(_SOUND)}


def _librosa(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the frames of our front end as librosa computes them, float32 [frames, bands]."""
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=FRONT_END.sample_rate,
        n_fft=FRONT_END.window,
        hop_length=FRONT_END.hop,
        n_mels=FRONT_END.mels,
        fmin=FRONT_END.low_hz,
        fmax=FRONT_END.high_hz,
        center=False,
    )
    decibels = 10.0 * np.log10(np.maximum(power, FRONT_END.log_floor))
    return np.ascontiguousarray(decibels.T, np.float32)
