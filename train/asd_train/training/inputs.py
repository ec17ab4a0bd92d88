"""What becomes of a cut of the corpus: features as they were stored, or made here and now from mixed sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from asd_edge.dsp.level import Level

from ..features.corpus import Corpus, Statistics, statistics_of
from ..features.twin import FrontEndTwin, segment_spectrum
from ..mixup import Mixing


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

    def statistics(self, corpus: Corpus) -> Statistics:
        """Return mean and deviation of each band over all frames of all clips, unmixed."""
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

    def statistics(self, corpus: Corpus) -> Statistics:
        """Return mean and deviation of each band over all frames of all clips."""
        return corpus.statistics()


@dataclass(frozen=True)
class MixedSound:
    """The corpus holds samples; they are mixed, and the device's front end is computed by its twin."""

    frames: int
    twin: FrontEndTwin
    level: Level
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
        spectrum = segment_spectrum(sound) if self.spectrum else None
        return Made(self._levelled(self.twin(sound), sound), spectrum)

    # As asd_edge.dsp.level: what the sound of each crop gives once it is divided by its standard deviation.
    def _levelled(self, features: Tensor, sound: Tensor) -> Tensor:
        if self.level == "as_is":
            return features
        power = self.twin.power(sound)
        heard = torch.where(power > 0.0, power, 1.0)[:, None, None]
        return features / heard.sqrt() if self.twin.spec.feature == "magnitude" else features - 10.0 * heard.log10()

    def statistics(self, corpus: Corpus) -> Statistics:
        """Return mean and deviation of each band over the frames of whole clips, each at its own level."""
        sounds = (corpus.clip(index)[None].to(corpus.device) for index in range(len(corpus)))
        return statistics_of(self._levelled(self.twin(sound), sound)[0] for sound in sounds)
