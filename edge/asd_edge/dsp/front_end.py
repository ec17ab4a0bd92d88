"""From samples to features: what every model of a bundle sees, and the power of each frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.band_power import high_pass_gain, offset_free_gain, parseval_weights
from asd_edge.dsp.blas import BandedProduct
from asd_edge.dsp.framing import Framing, FramingState, one_channel
from asd_edge.dsp.mel import MelScale, mel_matrix
from asd_edge.dsp.spectrum import PowerSpectrum, periodic_hann
from asd_edge.dsp.stage import Stage

_SLAB = 32  # frames computed at a time, at most: their spectra stay in the cache
_DOUBLE_SLAB = 8  # in double precision, whose copies would else come as fresh pages from the system every time
# NumPy has a vector logarithm for base e only; and an array of one number is quicker to use than a scalar.
_DB = np.array(10.0 / np.log(10.0), np.float32)

Feature = Literal["log_mel", "magnitude"]
"""What stands in a frame."""


@dataclass(frozen=True, slots=True)
class FrontEndSpec:
    """What the front end computes; the bundle's manifest mirrors it.

    Attributes:
        sample_rate: samples a second.
        window: samples of a frame.
        hop: samples between the starts of frames.
        feature: "log_mel": 10·log10(max(mel power, log_floor)) in dB; "magnitude": |X_k| of every bin.
        mels: number of mel bands.
        mel_scale: convention of the mel filters (dsp/mel.py).
        low_hz, high_hz: where the lowest mel band begins and the highest ends.
        log_floor: smallest mel power.
        stop_hz, pass_hz: edges of the high pass behind a frame's `high_power`.

    Raises:
        ValueError: values that contradict each other.
    """

    sample_rate: int = 16_000
    window: int = 1024
    hop: int = 512
    feature: Feature = "log_mel"
    mels: int = 128
    mel_scale: MelScale = "slaney"
    low_hz: float = 0.0
    high_hz: float = 8000.0
    log_floor: float = 1e-10
    stop_hz: float = 3500.0
    pass_hz: float = 4000.0

    def __post_init__(self) -> None:
        if not 1 <= self.hop <= self.window:
            raise ValueError(f"frames of {self.window} samples cannot start every {self.hop}")
        if self.mels < 1 or self.log_floor <= 0.0:
            raise ValueError(f"{self.mels} mels above a floor of {self.log_floor} are no features")
        for low, high in ((self.low_hz, self.high_hz), (self.stop_hz, self.pass_hz)):
            if not 0.0 <= low < high <= self.sample_rate / 2:
                raise ValueError(f"no band from {low} to {high} Hz at {self.sample_rate} samples a second")

    @property
    def bins(self) -> int:
        """Frequency bins of a frame's spectrum."""
        return self.window // 2 + 1

    @property
    def bands(self) -> int:
        """Features of a frame."""
        return self.mels if self.feature == "log_mel" else self.bins

    def samples(self, frames: int) -> int:
        """Samples that so many consecutive frames cover together."""
        return (frames - 1) * self.hop + self.window

    def mel(self) -> NDArray[np.float32]:
        """Return the mel matrix of this front end, float32 [bins, mels]."""
        return mel_matrix(
            sample_rate=self.sample_rate,
            window=self.window,
            mels=self.mels,
            scale=self.mel_scale,
            low_hz=self.low_hz,
            high_hz=self.high_hz,
        )


@dataclass(frozen=True, slots=True)
class Frames:
    """Consecutive frames.

    `first`: absolute index of row 0. `features`: float32 [frames, bands].
    `power`, `high_power`: mean square of a frame's samples without a constant offset, full band and high-passed,
    float32 [frames].
    """

    first: int
    features: NDArray[np.float32]
    power: NDArray[np.float32]
    high_power: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)


class FrontEnd(Stage[NDArray[np.float32], Frames, FramingState]):
    """Samples in, features and powers of frames out.

    There is no padding: n samples give (n − window) // hop + 1 frames. However the input is cut into blocks, and
    whatever channels are computed together, the spectra are the same (`PowerSpectrum` says how closely); the matrix
    product after them may add in another order (4e-6 dB). One instance serves one thread and any number of channels.

    Args:
        spec: what to compute.
        mel: the mel matrix of the bundle, float32 [bins, mels]; None makes it from `spec`.

    Raises:
        ValueError: a mel matrix of another shape.
    """

    def __init__(self, spec: FrontEndSpec, mel: NDArray[np.float32] | None = None) -> None:
        self.spec = spec
        self._framing = Framing(spec.window, spec.hop)
        window = periodic_hann(spec.window)
        self._floor = np.array(spec.log_floor, np.float32)
        self._mel: BandedProduct | None
        weights = parseval_weights(window)
        gain = high_pass_gain(
            sample_rate=spec.sample_rate, window=spec.window, stop_hz=spec.stop_hz, pass_hz=spec.pass_hz
        )
        gains = np.stack([offset_free_gain(spec.bins), gain])
        self._powers = (weights * gains).astype(np.float32)  # [2, bins]
        if spec.feature == "magnitude":
            self._mel = None
            self._spectrum = PowerSpectrum(window, _DOUBLE_SLAB)
        else:  # a mel band gathers bins, but a magnitude shows the last bit of each
            self._mel = BandedProduct(self._matrix(mel))
            self._spectrum = PowerSpectrum(window, self._mel.rows(most=_SLAB), single=True)
        super().__init__()

    def _matrix(self, given: NDArray[np.float32] | None) -> NDArray[np.float32]:
        mel = self.spec.mel() if given is None else given
        if mel.shape != (self.spec.bins, self.spec.mels):
            raise ValueError(f"a mel matrix of {mel.shape} is not one of {(self.spec.bins, self.spec.mels)}")
        return mel

    @property
    def bands(self) -> int:
        """Features of a frame."""
        return self.spec.bands

    @property
    def hop(self) -> int:
        """Samples between the starts of frames."""
        return self.spec.hop

    @property
    def latency(self) -> int:
        """Samples of a frame: it is complete with its last one."""
        return self.spec.window

    def initial_state(self) -> FramingState:
        """Return the memory of a stream that has not begun."""
        return self._framing.initial_state()

    def push(self, taken: NDArray[np.float32]) -> Frames:
        """Take float32 samples [n], any n; return the frames they complete.

        Raises:
            ValueError: more than one dimension.
        """
        return self.advance([self._state], [taken])[0]

    def advance(self, states: Sequence[FramingState], blocks: Sequence[NDArray[np.float32]]) -> list[Frames]:
        """Do what `push` does on the memory of each of many channels, and compute all their frames together.

        Args:
            states: one of `initial_state()` for each channel.
            blocks: the next samples of each, float32 [n], any n.

        Returns:
            the frames that each block completes. They are views into arrays that this call has made for all of
            its channels: to keep one channel's frames for long, copy them.

        Raises:
            ValueError: a block of other than one dimension, other than one block a state, or a state given
                twice. No state has changed then.
        """
        if not len({id(state) for state in states}) == len(states) == len(blocks):
            raise ValueError(
                f"{len(states)} states and {len(blocks)} blocks: give each channel's state once, and a block"
            )
        checked = [one_channel(block) for block in blocks]
        firsts = [state.next for state in states]
        framed = self._framing.cut(states, checked)
        features, powers = self._compute(framed)
        given, start = [], 0
        for first, frames in zip(firsts, framed, strict=True):
            part = slice(start, start + len(frames))
            given.append(Frames(first, features[part], powers[0, part], powers[1, part]))
            start = part.stop
        return given

    def flush(self) -> Frames:
        """Drop the last, incomplete frame."""
        first = self._state.next
        self.reset()
        nothing = np.zeros(0, np.float32)
        return Frames(first, np.zeros((0, self.bands), np.float32), nothing, nothing)

    def _compute(self, framed: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return features [T, bands] and both powers [2, T] of all these frames, one channel after the other."""
        count = sum(map(len, framed))
        features = np.empty((count, self.bands), np.float32)
        powers = np.empty((2, count), np.float32)
        stop = 0
        for slab in slabs(framed, self._spectrum.rows):
            spectra = self._spectrum(*slab)  # [rows, bins]
            start, stop = stop, stop + len(spectra)
            powers[:, start:stop] = np.dot(self._powers, spectra.T)
            self._features(spectra, features[start:stop])
        return features, powers

    def _features(self, spectra: NDArray[np.float32], features: NDArray[np.float32]) -> None:
        if self._mel is None:
            np.sqrt(spectra, out=features)
            return
        self._mel(spectra, features)
        np.maximum(features, self._floor, out=features)
        np.log(features, out=features)
        np.multiply(features, _DB, out=features)


def slabs(blocks: Iterable[NDArray[np.float32]], rows: int) -> Iterator[list[NDArray[np.float32]]]:
    """Yield all rows of these blocks in order, as lists of blocks that have `rows` rows together; the last fewer."""
    slab: list[NDArray[np.float32]] = []
    free = rows
    for block in blocks:
        while len(block) >= free:
            yield [*slab, block[:free]]
            slab, block, free = [], block[free:], rows
        if len(block):
            slab.append(block)
            free -= len(block)
    if slab:
        yield slab
