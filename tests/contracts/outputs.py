"""What networks give of normal and of unrelated sound, one kind of output each, for the contract of `Backend`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from asd_edge.scoring.backends.backend import Clips, Embeddings

SEGMENTS = 7  # of a clip

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Output:
    """A kind of embedding.

    `normal`: of generator, clips and spread: clips of one kind of normal sound, which the generator chooses first,
    [clips, SEGMENTS, dims]. `anything`: segments that have nothing in common with it, [n, dims]. `decisive`: the place
    of a number that every distance depends on.
    """

    dims: int
    normal: Callable[[Generator, int, float], Numbers]
    anything: Callable[[Generator, int], Numbers]
    decisive: int = 0

    def clips(self, label: str, count: int, *, seed: int, spread: float = 0.3) -> dict[str, list[Embeddings]]:
        """Return clips of one label, whose seed chooses the sound."""
        return {label: list(self.normal(np.random.default_rng(seed), count, spread).astype(np.float32))}

    def rows(self, count: int, *, seed: int = 0) -> Embeddings:
        """Return unrelated segments."""
        return self.anything(np.random.default_rng(seed), count).astype(np.float32)

    @property
    def source(self) -> Clips:
        """Two kinds of sound, twelve clips each."""
        return self.clips("slow", 12, seed=1) | self.clips("fast", 12, seed=2)

    @property
    def target(self) -> Clips:
        """Three clips."""
        return self.clips("hot", 3, seed=3)

    @property
    def always(self) -> Clips:
        """Sound that never varies."""
        return {"same": [np.ones((SEGMENTS, self.dims), np.float32)] * 20}

    @property
    def single(self) -> Clips:
        """One clip of one segment."""
        return {"only": [self.clips("only", 1, seed=4)["only"][0][:1]]}


def _directions(dims: int) -> Output:
    """Vectors around a direction; unrelated ones in any."""

    def normal(rng: Generator, clips: int, spread: float) -> Numbers:
        direction = rng.standard_normal(dims)
        return direction + spread * rng.standard_normal((clips, SEGMENTS, dims))

    return Output(dims, normal, lambda rng, n: rng.standard_normal((n, dims)), decisive=4)


BANDS = 4
_MIX = np.random.default_rng(0).standard_normal((BANDS, BANDS))  # so that the bands of residuals hang together


def statistics(rows: Numbers) -> Numbers:
    """Return the mean and the triangle of second moments of residual rows, [..., n, bands] -> [..., dims]."""
    moments = np.einsum("...ni,...nj->...ij", rows, rows) / rows.shape[-2]
    i, j = np.triu_indices(rows.shape[-1])
    return np.concatenate([rows.mean(axis=-2), moments[..., i, j]], axis=-1)


def _residuals(decisive: int) -> Output:
    """Statistics of residual rows; unrelated ones are larger, of other directions and not around zero."""

    def normal(rng: Generator, clips: int, spread: float) -> Numbers:
        deviations = 1.0 + spread * rng.random(BANDS)
        return statistics(deviations * rng.standard_normal((clips, SEGMENTS, 20, BANDS)) @ _MIX)

    def anything(rng: Generator, n: int) -> Numbers:
        return statistics(9.0 + 9.0 * rng.standard_normal((n, 20, BANDS)))

    return Output(BANDS + BANDS * (BANDS + 1) // 2, normal, anything, decisive)


def _log_odds(classes: int) -> Output:
    """log((1 − p) / p) of classes; normal sound is of the first, unrelated of any other."""

    def of(rng: Generator, favourite: NDArray[np.int_]) -> Numbers:
        logits = 6.0 * np.eye(classes)[favourite] + rng.standard_normal((*favourite.shape, classes))
        p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        return np.asarray(np.log((1.0 - p) / p))

    return Output(
        classes,
        lambda rng, clips, spread: of(rng, np.zeros((clips, SEGMENTS), int)),
        lambda rng, n: of(rng, rng.integers(1, classes, n)),
    )


def _errors(dims: int) -> Output:
    """Errors or negative log-densities, small for normal sound."""
    return Output(
        dims,
        lambda rng, clips, spread: 1.0 + spread * rng.random((clips, SEGMENTS, dims)),
        lambda rng, n: 5.0 + rng.random((n, dims)),
    )


def _with_maximum(dims: int) -> Output:
    """Vectors around a direction, then the temporal maximum of five bands, dB."""

    def normal(rng: Generator, clips: int, spread: float) -> Numbers:
        levels = rng.normal(-40.0, 5.0, 5) + 9.0 * spread * rng.standard_normal((clips, SEGMENTS, 5))
        return np.concatenate([DIRECTIONS.normal(rng, clips, spread), levels], axis=-1)

    def anything(rng: Generator, n: int) -> Numbers:
        return np.concatenate([rng.standard_normal((n, dims)), rng.normal(-40.0, 20.0, (n, 5))], axis=-1)

    return Output(dims + 5, normal, anything, decisive=4)


def _spectra(bands: int) -> Output:
    """Mean spectra, dB: a line over a floor; unrelated ones are of other levels."""

    def normal(rng: Generator, clips: int, spread: float) -> Numbers:
        line = 10.0 * np.exp(-0.5 * (np.arange(bands) - rng.uniform(2, bands - 2)) ** 2)
        return -40.0 + line + spread * rng.standard_normal((clips, SEGMENTS, bands))

    return Output(bands, normal, lambda rng, n: rng.normal(-40.0, 20.0, (n, bands)), decisive=4)


DIRECTIONS = _directions(12)
TWICE = Output(
    24,
    lambda rng, clips, spread: np.concatenate([DIRECTIONS.normal(rng, clips, spread) for _ in range(2)], axis=-1),
    lambda rng, n: rng.standard_normal((n, 24)),
    decisive=4,
)
"""Two networks' vectors, one after the other."""
RESIDUALS = _residuals(decisive=BANDS)
MEAN_RESIDUALS = _residuals(decisive=0)
ERROR = _errors(1)
DENSITIES = _errors(5)
LOG_ODDS = _log_odds(4)
WITH_MAXIMUM = _with_maximum(12)
SPECTRA = _spectra(12)
VECTOR_AND_DENSITIES = Output(
    17,
    lambda rng, clips, spread: np.concatenate(
        [DIRECTIONS.normal(rng, clips, spread), DENSITIES.normal(rng, clips, spread)], axis=-1
    ),
    lambda rng, n: np.concatenate([DIRECTIONS.anything(rng, n), DENSITIES.anything(rng, n)], axis=-1),
    decisive=4,
)
VECTOR_AND_SPECTRUM = Output(
    24,
    lambda rng, clips, spread: np.concatenate(
        [DIRECTIONS.normal(rng, clips, spread), SPECTRA.normal(rng, clips, spread)], axis=-1
    ),
    lambda rng, n: np.concatenate([DIRECTIONS.anything(rng, n), SPECTRA.anything(rng, n)], axis=-1),
    decisive=4,
)
