"""Golden segments: what goes into a bundle's graphs, what the trained network made of it, and what each graph did.

They travel with the graphs, so that whoever runs them, on whatever engine and processor, can see whether they still
embed as the network did when it was trained.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.fitted import Shapes, cut
from asd_edge.bundle.variants import KINDS, PRECISIONS, Kind, Precision

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Golden:
    """Segments of normal sound, n of them from different recordings.

    Args:
        features: as graphs hear them, with the context that a stream graph needs, float32
            [n, reach + frames + reach, bands]; a segment graph hears the middle.
        spectra: of the segments, float32 [n, bins]; None where the network hears none.
        trained: what the trained network makes of them, heard as each kind hears, float32 [n, dims].
        exported: what each variant made of them where it was exported, float32 [n, dims].
        unit: how many leading numbers of an embedding are a vector of unit length.
    """

    features: Array = field(repr=False)
    spectra: Array | None = field(repr=False)
    trained: Mapping[Kind, Array] = field(repr=False)
    exported: Mapping[tuple[Kind, Precision], Array] = field(repr=False)
    unit: int

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name, in the order of golden.npy."""
        named = {"features": self.features} | ({} if self.spectra is None else {"spectra": self.spectra})
        named |= {f"trained.{kind}": self.trained[kind] for kind in KINDS if kind in self.trained}
        return named | {
            f"exported.{kind}.{precision}": self.exported[kind, precision]
            for kind in KINDS
            for precision in PRECISIONS
            if (kind, precision) in self.exported
        }

    def joined(self) -> Array:
        """Return all numbers one after the other, float32 [numbers]."""
        return np.concatenate([np.asarray(array, np.float32).ravel() for array in self.arrays().values()])

    @staticmethod
    def of(numbers: Array, shapes: Shapes, *, unit: int) -> Golden:
        """Return the segments that `joined` made these numbers of; `shapes` are those of `golden_shapes`."""
        named = cut(numbers, shapes)
        return Golden(
            features=named["features"],
            spectra=named.get("spectra"),
            trained={kind: named[f"trained.{kind}"] for kind in KINDS if f"trained.{kind}" in named},
            exported={
                (kind, precision): named[f"exported.{kind}.{precision}"]
                for kind in KINDS
                for precision in PRECISIONS
                if f"exported.{kind}.{precision}" in named
            },
            unit=unit,
        )


def golden_shapes(
    *,
    segments: int,
    frames: int,
    bands: int,
    bins: int | None,
    dims: int,
    kinds: Collection[Kind],
    variants: Collection[tuple[Kind, Precision]],
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array, in the order of golden.npy."""
    shapes: dict[str, tuple[int, ...]] = {"features": (segments, frames, bands)}
    if bins is not None:
        shapes["spectra"] = (segments, bins)
    shapes |= {f"trained.{kind}": (segments, dims) for kind in KINDS if kind in kinds}
    return shapes | {
        f"exported.{kind}.{precision}": (segments, dims)
        for kind in KINDS
        for precision in PRECISIONS
        if (kind, precision) in variants
    }


def deviation(found: Array, expected: Array, *, unit: int) -> float:
    """Return how far embeddings are from what they should be: the worst segment's cosine distance.

    Numbers of any size may stand beside a unit vector in an embedding, decibels and distances, and have no direction.
    They count as an error e, the root mean square of each one's error as a share of the largest value that it takes:
    a unit vector that is off by e is one at a cosine distance of e²/2, and so is one that is not of unit length.

    Args:
        found, expected: float32 [segments, dims]. What is not finite is infinitely far.
        unit: how many leading numbers are a unit vector.
    """
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if not np.isfinite(a).all():
        return float("inf")
    distances = np.zeros(len(a))
    if unit:
        distances = 0.5 * np.square(a[:, :unit] - b[:, :unit]).sum(axis=1)
    if unit < a.shape[1]:
        largest = np.abs(b[:, unit:]).max(axis=0)
        shares = (a[:, unit:] - b[:, unit:]) / np.where(largest > 0.0, largest, 1.0)
        distances = np.maximum(distances, 0.5 * np.square(shares).mean(axis=1))
    return max(0.0, float(distances.max()))
