"""The last seconds of one machine's sound, in memory and nowhere else."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import SourceError
from asd_edge.sources.block import Block

_FULL_SCALE = 32_768.0
_PIECE = 4_096  # samples that are converted at once


class SoundRing:
    """Keeps the newest sound of a machine in 16 bits, what microphones give: two bytes a sample.

    All memory it will ever need is there from the start. Any thread may call anything.

    Args:
        rate: samples a second.
        seconds: how much is kept.
    """

    def __init__(self, rate: int, seconds: float) -> None:
        self.rate = rate
        self._kept = np.full(max(1, round(rate * seconds)), 0, np.int16)  # written to: zeros() only promises memory
        self._scratch = np.zeros(_PIECE, np.float32)
        self._next: int | None = None  # absolute index of the sample that would continue
        self._at = 0  # where it goes
        self._gapless = 0  # newest samples that follow one another
        self._lock = threading.Lock()

    def push(self, block: Block) -> None:
        """Take the next block; one that does not continue the block before makes what was heard before it useless.

        So does one of a faulty microphone, which is not kept either: nobody shall enroll it.
        """
        if block.faults:
            self.clear()
            return
        with self._lock:
            if block.start != self._next:
                self._gapless = 0
            self._next = block.start + len(block.samples)
            for start in range(0, len(block.samples), _PIECE):
                self._append(block.samples[start : start + _PIECE])

    def _append(self, samples: NDArray[np.float32]) -> None:
        scaled = self._scratch[: len(samples)]
        np.multiply(samples, _FULL_SCALE, out=scaled)
        np.nan_to_num(scaled, copy=False)
        np.rint(scaled, out=scaled)
        np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1.0, out=scaled)
        size, done = len(self._kept), 0
        while done < len(scaled):
            step = min(len(scaled) - done, size - self._at)
            self._kept[self._at : self._at + step] = scaled[done : done + step]
            self._at = (self._at + step) % size
            done += step
        self._gapless = min(size, self._gapless + len(scaled))

    def keep(self, seconds: float) -> None:
        """Keep so much from now on; of what is there, the newest."""
        with self._lock:
            size = max(1, round(self.rate * seconds))
            if size == len(self._kept):
                return
            newest = self._newest(min(self._gapless, size)) if self._gapless else self._kept[:0]
            self._kept = np.full(size, 0, np.int16)
            self._kept[: len(newest)] = newest
            self._gapless, self._at = len(newest), len(newest) % size

    def clear(self) -> None:
        """Forget everything: nothing is heard any more, so nothing is of the last seconds."""
        with self._lock:
            self._gapless = 0
            self._next = None

    def last(self, seconds: float) -> NDArray[np.float32]:
        """Return the newest `seconds` of sound without a gap, float32 [n] in -1..1.

        Raises:
            SourceError: there is less.
        """
        wanted = round(seconds * self.rate)
        with self._lock:
            held = self._gapless
            if 0 < wanted <= held:
                newest = self._newest(wanted)
        if not 0 < wanted <= held:
            raise SourceError(
                "There is not so much sound without a gap",
                found=f"{held / self.rate:.1f} s",
                expected=f"{seconds:.1f} s",
                remedy=f"Wait, or ask for less; the daemon keeps {len(self._kept) / self.rate:g} s (device.ring_s).",
            )
        return np.asarray(newest / np.float32(_FULL_SCALE), dtype=np.float32)

    def between(self, start: int, stop: int) -> tuple[int, NDArray[np.int16]]:
        """Return what is held of the samples [start, stop) without a gap, int16 [n], and the index of its first one.

        It begins later than `start` where the sound before is not held any more, or lies before a gap.
        """
        with self._lock:
            if self._next is None:
                return start, np.zeros(0, np.int16)
            first = max(start, self._next - self._gapless)
            held = max(0, min(stop, self._next) - first)
            return first, self._newest(self._next - first)[:held] if held else np.zeros(0, np.int16)

    def _newest(self, count: int) -> NDArray[np.int16]:
        """Return a copy of the newest samples, `_gapless` at most."""
        start = self._at - count
        if start >= 0:
            return np.array(self._kept[start : self._at])
        return np.concatenate([self._kept[start:], self._kept[: self._at]])
