"""The weighted sum of several backends' distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from asd_edge.scoring.backends.backend import Backend, Clips, Fitted, check_shapes, count_of
from asd_edge.scoring.backends.combined import Combined
from asd_edge.scoring.backends.minimum import Minimum, left_out
from asd_edge.scoring.backends.part import Part
from asd_edge.scoring.backends.single import Single
from asd_edge.strict import RefusalError

LEAST_SCALE = 1e-6

_Summand = Annotated[Single | Minimum | Part, Field(discriminator="kind")]
_Weight = Annotated[float, Field(gt=0.0, le=1e6)]


# distance = Σ_b w_b d_b, or with `scaled` Σ_b w_b d_b / m_b: m_b is the mean distance of normal clips of the machine
# when they are left out. It is the source's for all its conditions, so that it decides between the parts and never
# between conditions. A mean and no deviation: of two clips there is one distance and so no deviation.
class Sum(Combined):
    """All backends hear the whole embedding; `part` gives one a piece of it.

    `weights`: 1 for each where left out. `scaled`: each distance in units of what normal sound has of it, stored as
    `scale` [parts].
    """

    kind: Literal["sum"] = "sum"
    parts: Annotated[tuple[_Summand, ...], Field(min_length=2, max_length=64, strict=False)]  # a TOML array is a list
    weights: Annotated[tuple[_Weight, ...], Field(strict=False)] | None = None
    scaled: bool = False

    @model_validator(mode="after")
    def _one_weight_each(self) -> Sum:
        if self.weights is not None and len(self.weights) != len(self.parts):
            raise ValueError(f"{len(self.weights)} weights for {len(self.parts)} parts")
        return self

    @property
    def combined(self) -> Sequence[Backend]:
        """The parts."""
        return self.parts

    @property
    def scales(self) -> Sequence[float]:
        """The weights."""
        return super().scales if self.weights is None else self.weights

    @property
    def unrelated(self) -> float:
        """That of the parts; scaled, it depends on the condition, and nothing is said."""
        return math.inf if self.scaled else super().unrelated

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return the parts' arrays, and the scale: 1 where a single clip without a source tells none."""
        fitted = super().fit(clips, source=source)
        if not self.scaled:
            return fitted
        if source is not None:
            scale = source["scale"]
        elif count_of(clips) > 1:
            means = [left_out(part, clips, None).mean() for part in self.parts]
            scale = np.maximum(means, LEAST_SCALE).astype(np.float32)
        else:
            scale = np.ones(len(self.parts), dtype=np.float32)
        return {**fitted, "scale": scale}

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        if self.scaled:
            check_shapes({k: v for k, v in fitted.items() if k == "scale"}, {"scale": (len(self.parts),)})
            if not (fitted["scale"] > 0.0).all():
                raise RefusalError("a scale of 0 or below", "mean distances of normal sound")
            fitted = {name: array for name, array in fitted.items() if name != "scale"}
        super().check(fitted, dims)

    def shares(self, conditions: Sequence[Fitted]) -> NDArray[np.float32]:
        """Return what each part's distance is multiplied by, [parts, conditions]."""
        weights = super().shares(conditions)
        if not self.scaled:
            return weights
        return np.asarray(weights / np.stack([fitted["scale"] for fitted in conditions], axis=1), dtype=np.float32)
