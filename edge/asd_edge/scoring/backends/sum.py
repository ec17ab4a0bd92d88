"""The weighted sum of several backends' distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.backends.combined import Combined
from asd_edge.scoring.backends.minimum import Minimum
from asd_edge.scoring.backends.part import Part
from asd_edge.scoring.backends.single import Single

_Summand = Annotated[Single | Minimum | Part, Field(discriminator="kind")]
_Weight = Annotated[float, Field(gt=0.0, le=1e6)]


class Sum(Combined):
    """All backends hear the whole embedding; `part` gives one a piece of it. `weights`: 1 for each where left out."""

    kind: Literal["sum"] = "sum"
    parts: Annotated[tuple[_Summand, ...], Field(min_length=2, max_length=64, strict=False)]  # a TOML array is a list
    weights: Annotated[tuple[_Weight, ...], Field(strict=False)] | None = None

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
