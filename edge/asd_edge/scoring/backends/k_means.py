"""Cosine distance to the nearest of the source's k-means centres and of every target embedding."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from asd_edge.scoring.backends.backend import Clips, Fitted, clip_means
from asd_edge.scoring.backends.clusters import k_means
from asd_edge.scoring.backends.references import CosineReferences


# Wilkinghoff (ICASSP 2023, section 2.3): 16 means of the source embeddings and every target embedding; the score is
# the smallest cosine distance. Lengths are normalised before k-means, so that its Euclidean distance ranks as cosine.
class KMeans(CosineReferences):
    """The references are k-means centres for the source, every clip for a condition that came later."""

    kind: Literal["k_means"] = "k_means"
    centres: Annotated[int, Field(ge=1, le=4096)]

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return the centres, or every clip's mean embedding where there is a source or there are too few clips.

        A condition of few clips keeps them all: averaged away, the clip that sounds most like tomorrow's normal sound
        would be missing.
        """
        means = clip_means(clips)
        if source is not None or len(means) <= self.centres:
            return {"references": means}
        centres, _ = k_means(means.astype(np.float64), self.centres)
        return {"references": centres.astype(np.float32)}
