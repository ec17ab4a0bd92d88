"""Tones locked to a turning shaft."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def phasor(turns: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Return exp(2 pi i turns); whole turns are dropped in float64, before the fast float32 sine  # [n]."""
    angle = ((turns - np.floor(turns)) * (2.0 * np.pi)).astype(np.float32)
    rotor = np.empty(len(angle), np.complex64)
    rotor.real = np.cos(angle)
    rotor.imag = np.sin(angle)
    return rotor


def harmonics(rotor: NDArray[np.complex64], coefficients: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Return Re sum_k c_k z^k, k = 1..K, for z = exp(i phase) by Horner's rule: K multiplications, no sines.

    Args:
        rotor: exp(i phase) of the fundamental  # [n].
        coefficients: c_1..c_K: amplitude and phase of each harmonic  # [K].
    """
    total = np.zeros(len(rotor), np.complex64)
    for coefficient in coefficients[::-1]:
        total += coefficient
        total *= rotor
    return np.ascontiguousarray(total.real)


def partials(count: int, decay: float, rng: np.random.Generator, *, spread_db: float = 3.0) -> NDArray[np.complex64]:
    """Draw the coefficients of one unit: amplitudes k^-decay, each off by `spread_db`, phases uniform.

    Normalised so that the tones together have unit power: sum |c|^2 / 2 = 1  # [count].
    """
    amplitude = np.arange(1, count + 1) ** -decay * 10.0 ** (spread_db * rng.standard_normal(count) / 20.0)
    coefficients = amplitude * np.exp(2j * np.pi * rng.uniform(size=count))
    coefficients *= np.sqrt(2.0 / np.sum(amplitude**2))
    return np.asarray(coefficients, np.complex64)
