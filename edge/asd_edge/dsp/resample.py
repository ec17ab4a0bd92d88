"""Change of the sample rate by a rational factor: a polyphase Kaiser filter as one matrix product."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.blas import quiet_rows
from asd_edge.dsp.framing import Framing, FramingState
from asd_edge.dsp.stage import Stage

REJECTION_DB = 80.0  # aliases stay below the rounding of 13-bit audio
PASS_EDGE = 0.92  # of the lower Nyquist frequency: flat up to here, rejected from 1 on
_MAX_COEFFICIENTS = 4_000_000  # 16 MB
_SLAB = 32  # frames multiplied at a time, at most


@dataclass(slots=True)
class ResamplerState:
    """The samples still needed, and how many samples were taken and given."""

    framing: FramingState
    taken: int = 0
    given: int = 0


class Resampler(Stage[NDArray[np.float32], NDArray[np.float32], ResamplerState]):
    """Turns samples at `in_rate` into samples at `out_rate`; output j stands at input j·in_rate/out_rate.

    With out/in = L/M in lowest terms and h a low pass at L·in_rate,

        y[j] = Σ_i x[i] · h[j·M − i·L + half],

    the same as inserting zeros, filtering without delay and dropping samples. The coefficients repeat every L
    outputs, so a group of G·L outputs is one product of a frame of inputs with a fixed matrix, and the next
    group the same product G·M inputs later. n inputs give ceil(n·L/M) outputs.

    Raises:
        ValueError: equal rates, or a ratio of too large numbers.
    """

    def __init__(self, in_rate: int, out_rate: int) -> None:
        shared = math.gcd(in_rate, out_rate)
        self._up, self._down = out_rate // shared, in_rate // shared
        half = _half_length(max(self._up, self._down))
        # A hop as long as the filter: shorter repeats the copying, longer multiplies more zeros.
        groups = math.ceil(2 * half / (self._up * self._down))
        self._outputs = groups * self._up
        self._lead = half // self._up  # inputs that the first output of a group reaches back
        reach = ((self._outputs - 1) * self._down + half) // self._up  # … and that its last one reaches ahead
        window = self._lead + reach + 1
        if in_rate == out_rate or window * self._outputs > _MAX_COEFFICIENTS:
            raise ValueError(f"no filter from {in_rate} to {out_rate} samples a second")
        self._framing = Framing(window, groups * self._down, lead=self._lead)
        self._matrix = self._coefficients(half)  # [window, outputs]
        super().__init__()

    def _coefficients(self, half: int) -> NDArray[np.float32]:
        taps = _low_pass(half, max(self._up, self._down)) * self._up
        inputs = np.arange(self._framing.window)[:, None] - self._lead
        index = np.arange(self._outputs) * self._down - inputs * self._up + half
        inside = (index >= 0) & (index < len(taps))
        return np.where(inside, taps[np.clip(index, 0, len(taps) - 1)], 0.0).astype(np.float32)

    @property
    def latency(self) -> int:
        """Inputs from the one an output stands at until its group is complete."""
        return self._framing.window - self._lead

    def initial_state(self) -> ResamplerState:
        """Return the memory of a stream that has not begun: silence stands before it."""
        return ResamplerState(self._framing.initial_state())

    def push(self, taken: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take float32 samples [n], any n; return the samples they complete, float32 [m]."""
        state = self._state
        frames = self._framing.advance(state.framing, taken).samples  # [groups, window]
        given = np.empty((len(frames), self._outputs), np.float32)
        rows = quiet_rows(self._matrix, most=_SLAB)
        for start in range(0, len(frames), rows):
            slab = np.ascontiguousarray(frames[start : start + rows])  # BLAS cannot read rows that overlap
            np.matmul(slab, self._matrix, out=given[start : start + rows])
        state.taken += len(taken)
        state.given += given.size
        return given.reshape(-1)

    def flush(self) -> NDArray[np.float32]:
        """Return the last samples: silence follows the stream."""
        owed = -(-self._state.taken * self._up // self._down) - self._state.given
        groups = -(-owed // self._outputs)
        silence = np.zeros(self._framing.window + groups * self._framing.hop, np.float32)
        last = self.push(silence)[:owed]
        self.reset()
        return last


def _half_length(wide: int) -> int:
    """Return taps on each side of the centre: Kaiser 1974, N − 1 = (A − 7.95) / (2.285 Δω)."""
    transition = math.pi * (1.0 - PASS_EDGE) / wide
    return math.ceil((REJECTION_DB - 7.95) / (2.285 * transition) / 2.0)


def _low_pass(half: int, wide: int) -> NDArray[np.float64]:
    """Return a Kaiser-windowed sinc of gain 1 whose transition ends at 1/wide of Nyquist's  # [taps]."""
    cutoff = (1.0 + PASS_EDGE) / 2.0 / wide
    beta = 0.1102 * (REJECTION_DB - 8.7)  # Kaiser 1974, for A > 50 dB
    taps: NDArray[np.float64] = np.sinc(cutoff * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, beta)
    taps /= taps.sum()
    return taps
