"""Backends whose distances are added."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.backends.backend import (
    Backend,
    Clips,
    Distances,
    Embeddings,
    Fitted,
    check_names,
    dims_of,
    stored_under,
    under,
)
from asd_edge.scoring.backends.part import sliced


class Combined(Backend):
    """distance = Σ_b w_b d_b, each backend b with what it hears of the embedding.

    Arrays of the backends are stored under their number: `0.references`.
    """

    @property
    @abstractmethod
    def combined(self) -> Sequence[Backend]:
        """The backends b."""

    @property
    def scales(self) -> Sequence[float]:
        """Their weights w_b."""
        return [1.0] * len(self.combined)

    def shares(self, conditions: Sequence[Fitted]) -> NDArray[np.float32]:
        """Return what each backend's distance is multiplied by, [backends, conditions]: its weight."""
        return np.repeat(np.asarray(self.scales, dtype=np.float32)[:, None], len(conditions), axis=1)

    def hears(self, number: int, dims: int) -> slice:
        """Return which of `dims` numbers backend `number` hears: all of them."""
        return slice(0, dims)

    @property
    def unrelated(self) -> float:
        """The sum of theirs."""
        return sum(w * b.unrelated for w, b in zip(self.scales, self.combined, strict=True))

    @property
    def imprints(self) -> bool:
        """Whether those of any backend do."""
        return any(backend.imprints for backend in self.combined)

    def check_dims(self, dims: int) -> None:
        """Check the length of the embeddings, for every backend."""
        for i, backend in enumerate(self.combined):
            backend.check_dims(_length(self.hears(i, dims)))

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return the backends' arrays."""
        dims = dims_of(self, clips)
        return stored_under(
            {
                str(i): backend.fit(
                    sliced(clips, self.hears(i, dims)), source=None if source is None else under(source, str(i))
                )
                for i, backend in enumerate(self.combined)
            }
        )

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        self.check_dims(dims)
        check_names(fitted, [str(i) for i in range(len(self.combined))])
        for i, backend in enumerate(self.combined):
            backend.check(under(fitted, str(i)), _length(self.hears(i, dims)))

    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        scorers = [b.scorer([under(c, str(i)) for c in conditions]) for i, b in enumerate(self.combined)]
        shares = self.shares(conditions)

        def distances(embeddings: Embeddings) -> NDArray[np.float32]:
            dims = embeddings.shape[1]
            each = [scorer(embeddings[:, self.hears(i, dims)]) for i, scorer in enumerate(scorers)]
            return np.asarray(np.einsum("bc,bsc->sc", shares, np.stack(each)), dtype=np.float32)

        return distances


def _length(part: slice) -> int:
    return int(part.stop - part.start)
