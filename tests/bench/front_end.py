"""What a hop costs in the front end, alone and with many channels, beside the bare FFT and mel product.

    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 python -m tests.bench.front_end

The bare side gets the same frames, as many at a time as a block of 0.25 s completes, windowed and contiguous before
the clock starts. It makes `numpy.fft.rfft(frames, out=)`, re² + im² and `power @ mel` with all of [513, 128], each
into memory that is allocated once; no framing, no window, no logarithm, no powers, no results of its own.
`numpy.fft.rfft` of float32 computes in double precision; `bare_single` is the same with the single-precision FFT of
the front end's log-mel features (`norm="forward"`).
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.dsp.spectrum import periodic_hann

CHANNELS = 16
BLOCK = 4000  # samples: 0.25 s
SECONDS = 4
SPEC = FrontEndSpec()

Samples = NDArray[np.float32]


def measure(rounds: int = 60) -> dict[str, float]:
    """Return microseconds a hop, the ratios between them, and the largest deviation from librosa if it is there."""
    sounds = np.random.default_rng(0).normal(0.0, 0.1, (CHANNELS, SECONDS * SPEC.sample_rate)).astype(np.float32)
    front_end = FrontEnd(SPEC)
    seconds = _interleaved(
        {
            "bare": _bare(sounds[0], None),
            "bare_single": _bare(sounds[0], "forward"),
            "block": lambda: _push(front_end, sounds[0], BLOCK),
            "hop": lambda: _push(front_end, sounds[0], SPEC.hop),
            "channels_hop": lambda: _advance(front_end, sounds, SPEC.hop),
            "channels_block": lambda: _advance(front_end, sounds, BLOCK),
        },
        rounds,
    )
    hops = _frames(sounds.shape[1])
    micro = {name: 1e6 * value / hops for name, value in seconds.items()}
    for name in ("channels_hop", "channels_block"):
        micro[name] /= CHANNELS
    return {
        "bare_us": micro["bare"],
        "bare_single_us": micro["bare_single"],
        "block_us": micro["block"],
        "hop_us": micro["hop"],
        "channels_hop_us": micro["channels_hop"],
        "channels_block_us": micro["channels_block"],
        "block_to_bare": micro["block"] / micro["bare"],
        "block_to_bare_single": micro["block"] / micro["bare_single"],
        "channels_block_to_block": micro["channels_block"] / micro["block"],
        "channels_hop_to_hop": micro["channels_hop"] / micro["hop"],
    } | _deviation(sounds[0])


def _frames(samples: int) -> int:
    return max(0, (samples - SPEC.window) // SPEC.hop + 1)


def _push(front_end: FrontEnd, sound: Samples, size: int) -> None:
    front_end.reset()
    for start in range(0, len(sound), size):
        front_end.push(sound[start : start + size])


def _advance(front_end: FrontEnd, sounds: Samples, size: int) -> None:
    states = [front_end.initial_state() for _ in sounds]
    for start in range(0, sounds.shape[1], size):
        front_end.advance(states, list(sounds[:, start : start + size]))


def _bare(sound: Samples, norm: Literal["forward"] | None) -> Callable[[], None]:
    cut = np.lib.stride_tricks.sliding_window_view(sound, SPEC.window)[:: SPEC.hop]
    frames, mel = np.ascontiguousarray(cut * periodic_hann(SPEC.window)), SPEC.mel()
    edges = [_frames(stop) for stop in range(0, len(sound) + 1, BLOCK)]
    most = max(stop - start for start, stop in pairwise(edges))
    spectrum: NDArray[Any] = np.empty((most, SPEC.bins), np.complex64)
    power, product = np.empty((most, SPEC.bins), np.float32), np.empty((most, SPEC.mels), np.float32)

    def bare() -> None:
        for start, stop in pairwise(edges):
            count = stop - start
            squares = spectrum[:count].view(np.float32)
            np.fft.rfft(frames[start:stop], norm=norm, out=spectrum[:count])
            np.multiply(squares, squares, out=squares)
            np.add(squares[:, 0::2], squares[:, 1::2], out=power[:count])
            np.matmul(power[:count], mel, out=product[:count])

    return bare


def _interleaved(subjects: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Run the subjects in turn, so that a change in the machine's speed meets them all; return median seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for round_number in range(rounds + 3):
        for name, subject in subjects.items():
            began = time.process_time()
            subject()
            if round_number >= 3:  # the first rounds warm caches
                seconds[name].append(time.process_time() - began)
    return {name: median(values) for name, values in seconds.items()}


def _deviation(sound: Samples) -> dict[str, float]:
    if importlib.util.find_spec("librosa") is None:
        return {}
    import librosa

    reference = librosa.feature.melspectrogram(
        y=sound.astype(np.float64),
        sr=SPEC.sample_rate,
        n_fft=SPEC.window,
        hop_length=SPEC.hop,
        n_mels=SPEC.mels,
        center=False,
    )
    expected = 10.0 * np.log10(np.maximum(reference.T, SPEC.log_floor))
    return {"largest_deviation_from_librosa_db": float(np.max(np.abs(FrontEnd(SPEC).push(sound).features - expected)))}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
