"""A torch twin of the device's front end, for sound that exists on the training device alone: mixed waveforms.

It is held to the device's own code by a test. Nothing it computes is ever shipped.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from asd_edge.dsp.band_power import offset_free_gain, parseval_weights
from asd_edge.dsp.front_end import FrontEndSpec
from asd_edge.dsp.spectrum import periodic_hann

_DB = 10.0 / math.log(10.0)


class FrontEndTwin(nn.Module):
    """What `FrontEnd(spec)` makes of whole clips, for a batch: samples [batch, n] -> [batch, frames, bands].

    There is no padding: n samples give (n − window) // hop + 1 frames. Autocast is switched off inside; for the
    agreement with the device, matrix products on a GPU must be those of torch's default precision, "highest".
    """

    window: Tensor
    mel: Tensor
    weights: Tensor

    def __init__(self, spec: FrontEndSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("window", torch.from_numpy(periodic_hann(spec.window)), persistent=False)
        weights = parseval_weights(periodic_hann(spec.window)) * offset_free_gain(spec.bins)
        self.register_buffer("weights", torch.from_numpy(weights.astype(np.float32)), persistent=False)  # [bins]
        self.register_buffer("mel", torch.from_numpy(spec.mel()), persistent=False)  # [bins, mels]

    def forward(self, samples: Tensor) -> Tensor:
        """Return log-mel in dB or magnitudes, as the specification says, float32 [batch, frames, bands].

        Args:
            samples: float32 [batch, n], at least one, n ≥ window.

        Raises:
            ValueError: not [batch, n], or fewer samples than a frame has.
        """
        if samples.ndim != 2 or samples.shape[1] < self.spec.window:
            raise ValueError(f"{list(samples.shape)} is not [batch, n] with n of at least {self.spec.window} samples")
        with torch.autocast(samples.device.type, enabled=False):
            if samples.device.type == "cpu":  # one clip's frames stay in the cache: a third of the time for magnitudes
                return torch.stack([self._features(clip) for clip in samples.float()])
            return self._features(samples.float())

    def _features(self, samples: Tensor) -> Tensor:
        """[..., n] -> [..., frames, bands]."""
        frames = self._frames(samples)
        if self.spec.feature == "magnitude":
            return _magnitude(frames)
        decibels: Tensor = _DB * torch.log((_power(frames) @ self.mel).clamp_min(self.spec.log_floor))
        return decibels

    def power(self, samples: Tensor) -> Tensor:
        """Return the power of segments as the device has it, without a constant offset: [batch, n] -> [batch]."""
        with torch.autocast(samples.device.type, enabled=False):
            return torch.mv(_power(self._frames(samples.float())).mean(dim=1), self.weights)

    def _frames(self, samples: Tensor) -> Tensor:
        return samples.unfold(-1, self.spec.window, self.spec.hop) * self.window


# |X_k|, k = 0 … n // 2 − 1, over all n samples, without a window function: `ClipSpectrum` of exactly this segment.
def segment_spectrum(samples: Tensor) -> Tensor:
    """Return the magnitude spectrum of whole segments, float32 [batch, n] -> [batch, n // 2]."""
    return _magnitude(samples)[..., : samples.shape[-1] // 2]


def _power(frames: Tensor) -> Tensor:
    """Return |rfft|² of the last dimension in single precision, as the device computes log-mel."""
    spectra: Tensor = torch.fft.rfft(frames)
    return spectra.real.square() + spectra.imag.square()


def _magnitude(samples: Tensor) -> Tensor:
    """Return |rfft| of the last dimension, computed in double precision as on the device, float32 [..., n // 2 + 1]."""
    magnitude: Tensor = torch.fft.rfft(samples.double()).to(torch.complex64).abs()
    return magnitude
