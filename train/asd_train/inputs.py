"""What becomes of a cut of the corpus: features as they were stored, or made here and now from mixed sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .features.twin import FrontEndTwin, segment_spectrum
from .mixup import Mixing


@dataclass(frozen=True)
class Made:
    """The inputs of a network, and a mixup that is still to be done inside of it."""

    features: Tensor
    spectrum: Tensor | None = None
    mixing: Mixing | None = None


class Inputs(Protocol):
    """From rows of a corpus to the inputs of a network."""

    @property
    def length(self) -> int:
        """Rows of a crop with its context."""
        ...

    @property
    def hop(self) -> int:
        """Rows a frame: crops start at multiples of it."""
        ...

    def __call__(self, cut: Tensor, mixing: Mixing | None) -> Made:
        """Make the inputs of a batch of cuts [batch, length, ...]."""
        ...


@dataclass(frozen=True)
class StoredFeatures:
    """The corpus holds features of frames; a mixup is of features or goes on to a hidden layer."""

    frames: int
    hidden_mixup: bool = False
    hop: int = 1

    @property
    def length(self) -> int:
        """Frames of a crop with its context."""
        return self.frames

    def __call__(self, cut: Tensor, mixing: Mixing | None) -> Made:
        """[batch, frames, bands] -> the same, mixed."""
        if mixing is None or self.hidden_mixup:
            return Made(cut, mixing=mixing)
        return Made(mixing.of(cut))


@dataclass(frozen=True)
class MixedSound:
    """The corpus holds samples; they are mixed, and the device's front end is computed by its twin."""

    frames: int
    twin: FrontEndTwin
    spectrum: bool

    @property
    def hop(self) -> int:
        """Samples between the starts of frames."""
        return self.twin.spec.hop

    @property
    def length(self) -> int:
        """Samples of a crop."""
        return (self.frames - 1) * self.twin.spec.hop + self.twin.spec.window

    def __call__(self, cut: Tensor, mixing: Mixing | None) -> Made:
        """[batch, samples] -> features [batch, frames, bands] and, where the network hears it, the spectrum."""
        sound = cut if mixing is None else mixing.of(cut)
        return Made(self.twin(sound), segment_spectrum(sound) if self.spectrum else None)
