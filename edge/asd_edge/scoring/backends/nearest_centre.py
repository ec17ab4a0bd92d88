"""Cosine distance to the nearest centre, one for each label."""

from __future__ import annotations

from typing import Literal

import numpy as np

from asd_edge.scoring.backends.backend import Clips, Fitted
from asd_edge.scoring.backends.references import CosineReferences
from asd_edge.scoring.distances import mean_centre


# score = −max over the classes k of cos(f(x), C_k), C_k the mean embedding of class k
# (Chen et al., ICASSP 2022, section 3.3 and equation 3); here as the distance 1 − cos.
class NearestCentre(CosineReferences):
    """The references are the mean embeddings of the labels; enrollment has one label for each kind of sound."""

    kind: Literal["nearest_centre"] = "nearest_centre"

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return one centre a label, in the order of the labels; they are not scaled to unit length."""
        return {"references": np.stack([mean_centre(members) for members in clips.values()])}
