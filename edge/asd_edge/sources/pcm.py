"""Signed 16-bit little-endian PCM from a pipe that may fall silent."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from asd_edge.sources.pacing import ROUND_S

SAMPLE_BYTES = 2
_LOOK_EVERY_MS = 100  # how soon a close is noticed while nothing arrives


def read_exactly(
    descriptor: int,
    size: int,
    *,
    closing: threading.Event,
    waiting: Callable[[], None],
    patience_s: float | None = None,
) -> bytes | None:
    """Return the next `size` bytes, fewer at the end of the stream, or None once `closing` is set.

    `waiting` is called every second until then.

    Raises:
        TimeoutError: nothing arrived for `patience_s`.
        OSError: the pipe cannot be read.
    """
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    data = bytearray()
    heard = told = monotonic()
    while len(data) < size:
        if closing.is_set():
            return None
        if monotonic() - told >= ROUND_S:
            told = monotonic()
            waiting()
        if poller.poll(_LOOK_EVERY_MS):
            part = os.read(descriptor, size - len(data))
            if not part:
                break
            data += part
            heard = monotonic()
        elif patience_s is not None and monotonic() - heard > patience_s:
            raise TimeoutError
    return bytes(data)


def interleaved(data: bytes, *, channels: int = 1) -> NDArray[np.int16]:
    """Return interleaved PCM as int16 [n, channels]; an incomplete last sample is left out."""
    whole = len(data) // (SAMPLE_BYTES * channels) * channels
    samples: NDArray[np.int16] = np.frombuffer(data, "<i2", whole).reshape(-1, channels)
    return samples


def decode(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return 16-bit samples [n] as float32 in -1..1."""
    scaled: NDArray[np.float32] = pcm * np.float32(1.0 / 32768.0)
    return scaled


def encode(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return samples, float32 in -1..1, in 16 bits."""
    scaled: NDArray[np.int16] = np.clip(np.rint(samples * np.float32(32768.0)), -32_768, 32_767).astype(np.int16)
    return scaled
