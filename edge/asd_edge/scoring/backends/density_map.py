"""The mean of a map of negative log-densities that a normalising flow gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from asd_edge.scoring.backends.backend import Backend, Clips, Distances, Fitted, check_shapes
from asd_edge.scoring.backends.given import mean_of_numbers


# h = −log p_Z(flow(f(x))) without the determinant (Fujimura et al., DCASE 2023, section 3), p_Z the standard normal:
# ½‖z‖² up to a constant, which is left out, so that h >= 0. FastFlow gives a map of it; the graph takes its mean over
# bands and channels, and the embedding is one number a time step.
class DensityMap(Backend):
    """The embedding is ½‖z‖² at each time step of the segment; the distance is its mean.

    Nothing is learned of a condition: the flow was trained on the machine's normal sound.
    """

    kind: Literal["density_map"] = "density_map"

    @property
    def imprints(self) -> bool:
        """No condition changes what the flow says."""
        return False

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return no arrays."""
        return {}

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check that there are no arrays."""
        check_shapes(fitted, {})

    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        return mean_of_numbers(conditions)
