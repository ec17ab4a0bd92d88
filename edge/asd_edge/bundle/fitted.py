"""What backends have learned, as a bundle and the site state store it: float32 numbers and the shapes they have."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from math import prod
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StringConstraints, model_validator

from asd_edge.scoring.backends.backend import Fitted
from asd_edge.strict import Count, Strict

ArrayName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.]{1,64}$")]
Shape = Annotated[tuple[Count, ...], Field(min_length=1, max_length=3)]
Shapes = dict[ArrayName, Shape]
"""The arrays of one condition by name, in the order in which their numbers follow each other."""


def size_of(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return how many numbers arrays of these shapes hold."""
    return sum(prod(shape) for shape in shapes.values())


def shapes_of(fitted: Fitted) -> Shapes:
    """Return the shapes of a condition's arrays."""
    return {name: array.shape for name, array in fitted.items()}


def joined(conditions: Iterable[Fitted]) -> NDArray[np.float32]:
    """Return the numbers of all arrays of all conditions, one after the other, float32 [numbers]."""
    numbers = [array.ravel() for fitted in conditions for array in fitted.values()]
    return np.concatenate(numbers) if numbers else np.zeros(0, dtype=np.float32)


def cut(numbers: NDArray[np.float32], shapes: Mapping[str, tuple[int, ...]]) -> Fitted:
    """Return arrays of these shapes from exactly the numbers they hold."""
    arrays = {}
    start = 0
    for name, shape in shapes.items():
        arrays[name] = numbers[start : start + prod(shape)].reshape(shape)
        start += prod(shape)
    return arrays


class StoredArray(Strict):
    """An array in a JSON document: little-endian float32 numbers in C order, in base64, all finite."""

    shape: Shape
    data: Annotated[str, Field(min_length=4)]

    @model_validator(mode="after")
    def _whole(self) -> StoredArray:
        try:
            data = base64.b64decode(self.data, validate=True)
        except binascii.Error as error:
            raise ValueError(f"data that is not base64: {error}") from None
        if len(data) != 4 * prod(self.shape):
            raise ValueError(f"{len(data)} bytes of numbers for the shape {list(self.shape)}")
        if not np.isfinite(np.frombuffer(data, dtype="<f4")).all():
            raise ValueError("NaN or infinity among the numbers")
        return self

    @classmethod
    def of(cls, array: NDArray[np.float32]) -> StoredArray:
        """Return `array` as it stands in a document."""
        return cls(shape=array.shape, data=base64.b64encode(array.astype("<f4").tobytes()).decode())

    def array(self) -> NDArray[np.float32]:
        """Return the array, read-only."""
        return np.frombuffer(base64.b64decode(self.data), dtype="<f4").reshape(self.shape)
