"""How little a classifier believes that sound is of the class it should be of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.backends.backend import Backend, Clips, Distances, Embeddings, Fitted, check_shapes
from asd_edge.scoring.distances import mean_centre
from asd_edge.strict import RefusalError

LEAST: Final = 1e-7
"""A posterior nearer to 0 or 1 says no more: in single precision the last one below 1 is 6e-8 away from it."""

BOUND: Final = math.log((1.0 - LEAST) / LEAST)
"""The largest log-odds there are then, 16.12; the smallest have a minus."""


# score = mean over the patches of log((1 − p) / p), p the posterior of the clip's own section (Dohi et al., DCASE 2021
# baseline, equation 4). A distance is log((1 − p) / p) + BOUND: a constant leaves the order of the means and makes them
# >= 0. A softplus, −log p, would do so too, but its mean over patches is another score.
#
# The class of a condition is the one with the smallest mean log-odds over its clips. A network that tells the sections
# apart gives that to the section which the clips are of, so that nobody has to name it; where the network takes them
# for another section's, the named section's posterior would find normal sound anomalous.
class ClassLogOdds(Backend):
    """The embedding is log((1 − p_k) / p_k) of each class k; the distance is the one of the condition's class."""

    kind: Literal["class_log_odds"] = "class_log_odds"

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return `chosen` [classes]: 1 for the condition's class, 0 for the others."""
        mean = mean_centre([clip.clip(-BOUND, BOUND) for members in clips.values() for clip in members])
        return {"chosen": np.eye(len(mean), dtype=np.float32)[mean.argmin()]}

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        check_shapes(fitted, {"chosen": (dims,)})
        if sorted(fitted["chosen"]) != [0.0] * (dims - 1) + [1.0]:
            raise RefusalError("a choice of no class, or of several", "1 for one class and 0 for the others")

    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        chosen = [int(fitted["chosen"].argmax()) for fitted in conditions]

        def distances(embeddings: Embeddings) -> NDArray[np.float32]:
            return np.asarray(embeddings[:, chosen].clip(-BOUND, BOUND) + BOUND, dtype=np.float32)

        return distances
