"""Backends that keep vectors of normal sound, the references, and measure the way to the nearest of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.backends.backend import Backend, Distances, Embeddings, Fitted, check_shapes
from asd_edge.scoring.distances import normalised
from asd_edge.strict import RefusalError


class ReferenceBackend(Backend):
    """Stores `references`, float32 [references, dims]; the distance is the mean over the `nearest` nearest of them."""

    @property
    def nearest(self) -> int:
        """How many of the nearest references count."""
        return 1

    @abstractmethod
    def to_references(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distance to each reference of each condition: [segments, references of all]."""

    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        return mean_of_nearest(self.to_references(conditions), counts(conditions), self.nearest)


class CosineReferences(ReferenceBackend):
    """References compared by direction alone."""

    @property
    def unrelated(self) -> float:
        """At a right angle two vectors have nothing in common."""
        return 1.0

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        check_shapes(fitted, {"references": (None, dims)})
        check_directions(fitted)

    def to_references(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the cosine distance to each reference."""
        return cosine_to_references(conditions)


# d(x, r) = 1 − xᵀ r / (‖x‖ ‖r‖), and 1 for a vector of zeros, which has no direction.
def cosine_to_references(conditions: Sequence[Fitted]) -> Distances:
    """Return what computes the cosine distance to each reference of each condition."""
    unit = normalised(np.concatenate([fitted["references"] for fitted in conditions])).T  # [dims, references]

    def distances(embeddings: Embeddings) -> NDArray[np.float32]:
        away = np.float32(1.0) - normalised(embeddings) @ unit
        return np.asarray(np.maximum(away, np.float32(0.0)), dtype=np.float32)  # rounding goes below 0

    return distances


# d(x, r) = ‖x F − r F‖, as √(‖a‖² + ‖b‖² − 2 aᵀ b) in double precision: the terms nearly cancel.
def factored_to_references(
    conditions: Sequence[Fitted],
    factor: str,
    *,
    of: Callable[[Embeddings], Embeddings] = lambda vectors: vectors,
) -> Distances:
    """Return what computes the distance to each reference of each condition under the matrix F that it has learned.

    Enrolled conditions share the F of one source: a vector is multiplied with it once.

    Args:
        conditions: with `references` and the array named `factor`, [dims, dims].
        factor: name of F.
        of: what becomes of vectors first, for example their direction.
    """
    places = np.split(np.arange(sum(counts(conditions))), np.cumsum(counts(conditions))[:-1])
    alike: dict[bytes, list[int]] = {}
    for number, fitted in enumerate(conditions):
        alike.setdefault(fitted[factor].tobytes(), []).append(number)
    parts = []
    for numbers in alike.values():
        matrix = conditions[numbers[0]][factor].astype(np.float64)
        joined = of(np.concatenate([conditions[i]["references"] for i in numbers]))
        references = joined.astype(np.float64) @ matrix
        parts.append((np.concatenate([places[i] for i in numbers]), matrix, references.T, (references**2).sum(axis=1)))

    def distances(embeddings: Embeddings) -> NDArray[np.float32]:
        vectors = of(embeddings).astype(np.float64)
        squared = np.empty((len(vectors), sum(len(columns) for columns, *_ in parts)))
        for columns, matrix, references, squares in parts:
            x = vectors @ matrix
            squared[:, columns] = (x**2).sum(axis=1, keepdims=True) + squares - 2.0 * (x @ references)
        return np.asarray(np.sqrt(np.maximum(squared, 0.0)), dtype=np.float32)

    return distances


def check_directions(fitted: Fitted) -> None:
    """Refuse a reference of zeros, which has no direction.

    Raises:
        RefusalError: there is one.
    """
    if not fitted["references"].any(axis=1).all():
        raise RefusalError("a reference of zeros", "references that have a direction")


def counts(conditions: Sequence[Fitted]) -> list[int]:
    """Return how many references each condition has."""
    return [len(fitted["references"]) for fitted in conditions]


def mean_of_nearest(to_references: Distances, counts: Sequence[int], nearest: int) -> Distances:
    """Return what takes the mean distance to the `nearest` nearest references of each condition, or to all it has.

    Conditions with the same number of references are computed at once, so that a thousand enrolled conditions cost
    little more than one.
    """
    starts = np.cumsum([0, *counts[:-1]])
    groups = [  # the conditions of a group, and the columns of their references [conditions, references of each]
        (alike, starts[alike, None] + np.arange(count))
        for count in sorted(set(counts))
        for alike in [np.flatnonzero(np.asarray(counts) == count)]
    ]

    def distances(embeddings: Embeddings) -> NDArray[np.float32]:
        each = to_references(embeddings)
        result = np.empty((len(embeddings), len(counts)), dtype=np.float32)
        for alike, columns in groups:
            among = each[:, columns]  # [segments, conditions, references]
            k = min(nearest, columns.shape[1])
            if k < columns.shape[1]:
                among = np.partition(among, k - 1, axis=-1)[..., :k]
            result[:, alike] = among.min(axis=-1) if k == 1 else among.mean(axis=-1)
        return result

    return distances
