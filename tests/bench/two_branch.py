"""The two-branch network of Wilkinghoff, ICASSP 2023, on ten seconds as published, with random weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.dsp.clip_spectrum import ClipSpectrum, ClipSpectrumSpec
from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_train.networks.two_branch import TwoBranch


def two_branch(samples: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
    """Return what embeds ten seconds, float32 [160000], from samples on: both inputs, both branches."""
    torch.manual_seed(5)
    spec = ClipSpectrumSpec()
    network = TwoBranch(bins=spec.bins).eval()
    magnitudes, spectra = FrontEnd(FrontEndSpec(feature="magnitude")), ClipSpectrum(spec)

    def embed() -> NDArray[np.float32]:
        for stage in (magnitudes, spectra):
            stage.reset()
        spectrogram = magnitudes.push(samples).features[None]
        spectrum = spectra.push(samples).magnitudes
        with torch.inference_mode():
            embedding: NDArray[np.float32] = network(torch.from_numpy(spectrogram), torch.from_numpy(spectrum)).numpy()
        return embedding

    return embed
