"""One backend for each of several networks whose outputs follow each other in the embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.backends.combined import Combined
from asd_edge.scoring.backends.minimum import Minimum
from asd_edge.scoring.backends.part import Part
from asd_edge.scoring.backends.single import Single
from asd_edge.scoring.backends.sum import Sum
from asd_edge.strict import RefusalError

_Member = Annotated[Single | Minimum | Part | Sum, Field(discriminator="kind")]


# The sum of the scores of several trainings (Wilkinghoff: twenty in DCASE 2021, five in ICASSP 2023).
class Ensemble(Combined):
    """The embedding in equal parts, one for each of the `members`."""

    kind: Literal["ensemble"] = "ensemble"
    members: Annotated[tuple[_Member, ...], Field(min_length=2, max_length=64, strict=False)]  # a TOML array is a list

    @property
    def combined(self) -> Sequence[Backend]:
        """The members."""
        return self.members

    def hears(self, number: int, dims: int) -> slice:
        """Return the numbers that the member's network gave."""
        length = dims // len(self.members)
        return slice(number * length, (number + 1) * length)

    def check_dims(self, dims: int) -> None:
        """Check that the members' parts are equal and of a length that they read."""
        if dims % len(self.members):
            raise RefusalError(f"embeddings of {dims} numbers", f"{len(self.members)} equal parts")
        super().check_dims(dims)
