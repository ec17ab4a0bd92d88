"""Impulse responses: noise colours, struck resonances, mountings. All are arrays of taps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PATH_TAPS = 1024  # one path of a machine; a mounting has as many, and both together fit a FirMix
COLOUR_TAPS = 512


def colour(
    points: Sequence[tuple[float, float]],
    sample_rate: int,
    rng: np.random.Generator | None = None,
    *,
    ripple_db: float = 0.0,
) -> NDArray[np.float64]:
    """Design a noise colour: level in dB over log frequency, minimum phase, unit energy.

    White noise of unit variance comes out with unit variance. Minimum phase by folding the real cepstrum
    (Oppenheim & Schafer, section 13.5), so that bursts start at once and do not ring beforehand.

    Args:
        points: (frequency in Hz, level in dB), rising in frequency, joined by lines over log frequency.
        sample_rate: samples a second.
        rng: draws the ripple of one unit: no two casings radiate alike.
        ripple_db: standard deviation of the ripple.
    """
    size = 4 * COLOUR_TAPS
    hertz = np.fft.rfftfreq(size, 1.0 / sample_rate)
    log_hertz = np.log2(np.maximum(hertz, 10.0))
    level = np.interp(log_hertz, [np.log2(f) for f, _ in points], [db for _, db in points])
    if rng is not None and ripple_db > 0.0:
        knots = np.arange(3.0, 15.0, 1.0 / 3.0)  # thirds of an octave
        level = level + np.interp(log_hertz, knots, ripple_db * rng.standard_normal(len(knots)))
    cepstrum = np.fft.irfft(level * (np.log(10.0) / 20.0), size)
    cepstrum[1 : size // 2] *= 2.0
    cepstrum[size // 2 + 1 :] = 0.0
    taps = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), size)[:COLOUR_TAPS]
    taps *= np.cos(np.linspace(0.0, np.pi / 2.0, COLOUR_TAPS)) ** 2
    return unit_energy(taps)


def resonances(modes: Sequence[tuple[float, float]], sample_rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Design a struck structure: the sum of decaying sines, unit energy.

    h(t) = sum_m g_m exp(-pi f_m t / Q_m) sin(2 pi f_m t): free decay of lightly damped modes
    (Rao, Mechanical Vibrations, section 2.6).

    Args:
        modes: (frequency in Hz, quality factor Q) of each mode; those above Nyquist are silent.
        sample_rate: samples a second.
        rng: draws the participation g of each mode, 0.5 to 1.
    """
    time = np.arange(PATH_TAPS) / sample_rate
    taps = np.zeros(PATH_TAPS)
    for hertz, quality in modes:
        gain = rng.uniform(0.5, 1.0)
        if hertz < 0.48 * sample_rate:
            taps += gain * np.exp(-np.pi * hertz / quality * time) * np.sin(2.0 * np.pi * hertz * time)
    return unit_energy(taps * _fade_out(PATH_TAPS))


def mounting(letter: str, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a mounting: direct sound, panel resonances, an exponentially decaying room, another gain.

    The room is noise under exp(-6.9 t / T60) (Moorer, "About this reverberation business", 1979); the panel
    of the base adds modes between 80 and 1600 Hz. Mounting A has gain 1, the others within ±4 dB.
    """
    time = np.arange(PATH_TAPS) / sample_rate
    tail = rng.standard_normal(PATH_TAPS) * np.exp(-6.9 * time / rng.uniform(0.10, 0.20))
    tail[: max(1, int(rng.uniform(0.002, 0.005) * sample_rate))] = 0.0
    panel = resonances(
        [(hertz, rng.uniform(6.0, 15.0)) for hertz in 80.0 * 20.0 ** rng.uniform(size=5)], sample_rate, rng
    )
    taps = unit_energy(tail) * rng.uniform(0.35, 0.6) + panel * rng.uniform(0.4, 0.8)
    taps[0] += 1.0
    gain_db = 0.0 if letter == "A" else rng.uniform(-4.0, 4.0)
    return np.asarray(unit_energy(taps * _fade_out(PATH_TAPS)) * 10.0 ** (gain_db / 20.0))


def direct() -> NDArray[np.float64]:
    """Return the path that changes nothing: for tones, whose amplitudes are set where they arise."""
    taps = np.zeros(PATH_TAPS)
    taps[0] = 1.0
    return taps


def stack(*paths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return paths of different lengths as one array, filled with zeros  # [paths, taps]."""
    taps = max(len(path) for path in paths)
    return np.stack([np.pad(path, (0, taps - len(path))) for path in paths])


def unit_energy(taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale so that white noise keeps its variance."""
    return np.asarray(taps / np.sqrt(np.sum(taps**2)))


def _fade_out(taps: int) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.cos(np.linspace(0.0, np.pi / 2.0, taps))))
