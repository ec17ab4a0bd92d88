"""The smallest of several backends' distances, each measured in its own deviations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from asd_edge.scoring.backends.backend import (
    Backend,
    Clips,
    Distances,
    Embeddings,
    Fitted,
    check_shapes,
    count_of,
    stored_under,
    under,
)
from asd_edge.scoring.backends.single import Single
from asd_edge.strict import RefusalError

FOLDS = 5
LEAST_DEVIATION = 1e-6
LEAST_Z = -4.0
"""Nearer than this says no more: of any distribution less than 1/17 lies four deviations below its mean (Cantelli)."""

_Part = Annotated[Single, Field(discriminator="kind")]


# z_b = (d_b − m_b) / s_b, m_b and s_b mean and deviation of backend b's distances of normal sound; score = min_b z_b
# (arXiv 2606.19269). A distance is >= 0, so z is cut off at LEAST_Z and counted from there. The constant is one for all
# conditions: one of each condition's own, as −m_b / s_b is, would decide which condition a window belongs to.
class Minimum(Backend):
    """Several backends at once: choosing one on source data alone fails, the minimum comes close to the best.

    Arrays of the parts are stored under their number: `0.references`.
    """

    kind: Literal["minimum"] = "minimum"
    parts: Annotated[tuple[_Part, ...], Field(min_length=2, max_length=8, strict=False)]  # a TOML array is a list

    @property
    def imprints(self) -> bool:
        """Whether those of any part do."""
        return any(part.imprints for part in self.parts)

    def check_dims(self, dims: int) -> None:
        """Check the length of the embeddings, for every part."""
        for part in self.parts:
            part.check_dims(dims)

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return the parts' arrays, and `mean` and `deviation` [parts] of distances of clips left out in turn.

        A single clip leaves none to learn from: then the source's hold, or 0 and 1 without a source.
        """
        beneath = [None if source is None else under(source, str(i)) for i in range(len(self.parts))]
        fitted = [part.fit(clips, source=known) for part, known in zip(self.parts, beneath, strict=True)]
        arrays = stored_under({str(i): one for i, one in enumerate(fitted)})
        if count_of(clips) > 1:
            each = [left_out(part, clips, known) for part, known in zip(self.parts, beneath, strict=True)]
            mean, deviation = np.array([d.mean() for d in each]), np.array([d.std() for d in each])
        elif source is not None:
            mean, deviation = source["mean"], source["deviation"]
        else:
            mean, deviation = np.zeros(len(self.parts)), np.ones(len(self.parts))
        statistics = {"mean": mean, "deviation": np.maximum(deviation, LEAST_DEVIATION)}
        return arrays | {name: array.astype(np.float32) for name, array in statistics.items()}

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        parts = [under(fitted, str(i)) for i in range(len(self.parts))]
        for part, arrays in zip(self.parts, parts, strict=True):
            part.check(arrays, dims)
        known = {f"{i}.{name}" for i, arrays in enumerate(parts) for name in arrays}
        own = {name: array for name, array in fitted.items() if name not in known}
        check_shapes(own, {"mean": (len(parts),), "deviation": (len(parts),)})
        if not (own["deviation"] > 0.0).all() or not (own["mean"] >= 0.0).all():
            raise RefusalError("a mean below 0 or a deviation of 0", "statistics of distances")

    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        scorers = [part.scorer([under(c, str(i)) for c in conditions]) for i, part in enumerate(self.parts)]
        scale = 1.0 / np.stack([fitted["deviation"] for fitted in conditions], axis=1)  # [parts, conditions]
        mean = np.stack([fitted["mean"] for fitted in conditions], axis=1)

        def distances(embeddings: Embeddings) -> NDArray[np.float32]:
            each = np.stack([scorer(embeddings) for scorer in scorers])  # [parts, segments, conditions]
            z = (each - mean[:, None]) * scale[:, None]
            return np.asarray(np.maximum(z.min(axis=0), LEAST_Z) - LEAST_Z, dtype=np.float32)

        return distances


def left_out(part: Backend, clips: Clips, source: Fitted | None) -> NDArray[np.float32]:
    """Return the distance of every segment of each clip, fitted without the fold of clips that it is in."""
    listed = [(label, clip) for label, members in clips.items() for clip in members]
    found = []
    for fold in range(min(FOLDS, len(listed))):
        kept: dict[str, list[Embeddings]] = {}
        for number, (label, clip) in enumerate(listed):
            if number % FOLDS != fold:
                kept.setdefault(label, []).append(clip)
        score = part.scorer([part.fit(kept, source=source)])
        found += [score(clip)[:, 0] for _, clip in listed[fold::FOLDS]]
    return np.concatenate(found)
