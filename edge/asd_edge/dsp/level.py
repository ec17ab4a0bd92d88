"""Segments of loud and soft sound at one level."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge.dsp.front_end import Feature

Level = Literal["as_is", "standardised"]


# Fujimura et al. (DCASE 2023 report, section 4) bring each waveform to mean 0 and variance 1 before its features are
# taken. A factor on the samples is one on every magnitude and an offset on every log-mel value, and the variance is the
# power P of the segment, which leaves a constant offset out:
#     |X| / √P,    10·log10(mel) − 10·log10(P)
# Without any power there is nothing to divide by: the values stay, log-mel at its floor.
def standardised(values: NDArray[np.float32], power: NDArray[np.float32], feature: Feature) -> NDArray[np.float32]:
    """Return what the sound of each segment gives once it is divided by its standard deviation.

    Args:
        values: float32 [segments, ...]: frames, or spectra, which are magnitudes.
        power: of each segment, float32 [segments].
        feature: what the values are.
    """
    heard = np.where(power > 0.0, power, 1.0).reshape(-1, *(1,) * (values.ndim - 1))
    changed = values / np.sqrt(heard) if feature == "magnitude" else values - 10.0 * np.log10(heard)
    return changed.astype(np.float32, copy=False)
