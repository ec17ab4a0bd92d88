"""Target clips, and vectors between them and the source: a target domain is more than the few clips heard of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from asd_edge.scoring.backends.backend import Backend, Clips, Distances, Fitted, clip_means
from asd_edge.scoring.backends.gmm import GMM
from asd_edge.scoring.backends.knn import KNN


# "Pseudo-target" embeddings are mixup of source clips with target clips (Fujimura et al., DCASE 2023), in which
# proportion and how many is not told. [ours]: ratio · target + (1 − ratio) · source, `count` for each target clip, with
# sources spread evenly over the list of them. A bundle has the source's clips no more, but their references (kNN) or
# the means of its components (GMM). Nothing is drawn at random: the same clips give the same condition.
#
# A kind of its own and no key of those two: a new key would change the embedding_id of bundles that have them, and what
# was enrolled with those.
class PseudoTarget(Backend):
    """kNN or a GMM, whose later conditions are learned from their clips and pseudo-target embeddings.

    `ratio`: share of the target clip. `count`: pseudo-targets of a clip; no more than the source has vectors to mix
    with. Each counts as a clip. The source condition, and one without a source, are as without this.
    """

    kind: Literal["pseudo_target"] = "pseudo_target"
    over: Annotated[KNN | GMM, Field(discriminator="kind")]
    ratio: Annotated[float, Field(gt=0.0, lt=1.0)]
    count: Annotated[int, Field(ge=1, le=4096)]

    @property
    def unrelated(self) -> float:
        """That of the distance beneath."""
        return self.over.unrelated

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return what the backend beneath learns."""
        if source is None:
            return self.over.fit(clips)
        known = source["references" if isinstance(self.over, KNN) else "means"]
        partners = known[np.unique(np.linspace(0, len(known) - 1, self.count).round().astype(int))]
        mixed = self.ratio * clip_means(clips)[:, None] + (1.0 - self.ratio) * partners  # [clips, partners, dims]
        pseudo = mixed.reshape(-1, 1, mixed.shape[-1]).astype(np.float32)
        return self.over.fit({**clips, "pseudo-target": list(pseudo)}, source=source)

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        self.over.check(fitted, dims)

    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        return self.over.scorer(conditions)
