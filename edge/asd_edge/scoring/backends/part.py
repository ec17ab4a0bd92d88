"""A backend that reads some of an embedding's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from asd_edge.scoring.backends.backend import Backend, Clips, Distances, Embeddings, Fitted, dims_of
from asd_edge.scoring.backends.minimum import Minimum
from asd_edge.scoring.backends.single import Single
from asd_edge.strict import Count, RefusalError


class Part(Backend):
    """The numbers [`start`, `stop`) of the embedding, as `over` reads them; the arrays are those of `over`."""

    kind: Literal["part"] = "part"
    start: Annotated[int, Field(ge=0, le=65_535)]
    stop: Count
    over: Annotated[Single | Minimum, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _not_empty(self) -> Part:
        if self.start >= self.stop:
            raise ValueError(f"a part from {self.start} to {self.stop}, which is empty")
        return self

    @property
    def unrelated(self) -> float:
        """That of the backend beneath."""
        return self.over.unrelated

    @property
    def imprints(self) -> bool:
        """As the backend beneath."""
        return self.over.imprints

    def check_dims(self, dims: int) -> None:
        """Check that the part lies in the embedding and has a length that the backend beneath reads."""
        if self.stop > dims:
            raise RefusalError(f"embeddings of {dims} numbers", f"at least {self.stop}")
        self.over.check_dims(self.stop - self.start)

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return what the backend beneath learns."""
        dims_of(self, clips)
        return self.over.fit(sliced(clips, slice(self.start, self.stop)), source=source)

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        self.check_dims(dims)
        self.over.check(fitted, self.stop - self.start)

    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        beneath = self.over.scorer(conditions)

        def distances(embeddings: Embeddings) -> NDArray[np.float32]:
            return beneath(embeddings[:, self.start : self.stop])

        return distances


def sliced(clips: Clips, part: slice) -> Clips:
    """Return the clips with some of each embedding's numbers."""
    return {label: [clip[:, part] for clip in members] for label, members in clips.items()}
