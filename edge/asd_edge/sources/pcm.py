"""Signed 16-bit little-endian PCM from a pipe that may fall silent."""

from __future__ import annotations

import os
import select
import threading
from time import monotonic

import numpy as np
from numpy.typing import NDArray

SAMPLE_BYTES = 2
_LOOK_EVERY_MS = 100  # how soon a close is noticed while nothing arrives


def read_exactly(
    descriptor: int, size: int, *, closing: threading.Event, patience_s: float | None = None
) -> bytes | None:
    """Return the next `size` bytes, fewer at the end of the stream, or None once `closing` is set.

    Raises:
        TimeoutError: nothing arrived for `patience_s`.
        OSError: the pipe cannot be read.
    """
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    data = bytearray()
    heard = monotonic()
    while len(data) < size:
        if closing.is_set():
            return None
        if poller.poll(_LOOK_EVERY_MS):
            part = os.read(descriptor, size - len(data))
            if not part:
                break
            data += part
            heard = monotonic()
        elif patience_s is not None and monotonic() - heard > patience_s:
            raise TimeoutError
    return bytes(data)


def decode(data: bytes, *, channels: int = 1, channel: int = 0) -> NDArray[np.float32]:
    """Return one channel of interleaved PCM, float32 [n] in -1..1; an incomplete last sample is left out."""
    whole = len(data) // (SAMPLE_BYTES * channels) * channels
    samples: NDArray[np.int16] = np.frombuffer(data, "<i2", whole).reshape(-1, channels)[:, channel]
    scaled: NDArray[np.float32] = samples * np.float32(1.0 / 32768.0)
    return scaled
