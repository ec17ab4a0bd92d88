"""Distance between mean spectra, in which those deviations count that a change of the machine itself would cause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from asd_edge.scoring.backends.backend import Clips, Distances, Fitted, check_shapes
from asd_edge.scoring.backends.gaussians import Matrix, whitening
from asd_edge.scoring.backends.references import ReferenceBackend, factored_to_references
from asd_edge.scoring.backends.shrinkage import shrunk_covariance
from asd_edge.strict import RefusalError


# Normal spectra x ~ N(r, W); with a fault of strength t, x ~ N(r, W + t A), A the covariance of what faults do. For
# t -> 0 the locally most powerful test of t = 0 (Rao, Proc. Camb. Phil. Soc. 44, 1948; the constant left out) is
#
#     d²(x, r) = (x − r)ᵀ W⁻¹ A W⁻¹ (x − r).
#
# A must be known without a faulty machine. Half of it is W itself: a fault that does what normal sound does, only more
# (alone it gives the Mahalanobis distance). The other half is B, the mean of b bᵀ over b = c(f / a) − c(f), c the mean
# spectrum of a label played faster or slower by a: where a machine's own lines and resonances stand, and how far they
# rise above the background, which is flat beside them and moves little. With W⁻¹ = U Uᵀ and n bands,
#
#     A = W + n B / tr(W⁻¹ B),   d² = ‖(x − r) U R‖²,   R Rᵀ = I + n UᵀBU / tr(UᵀBU).
class SpectralShift(ReferenceBackend):
    """The references are the mean spectra of all clips, dB in bands of equal width from 0 Hz; the nearest counts.

    Band j of the embedding stands at (j + 1) times the distance of two bands, as the front end's mel scale "linear"
    places them. W is the covariance within a label, shrunk towards a sphere. A condition of few clips takes the
    source's metric.

    `speeds`: copies of each label, as many faster as slower. `reach`: the fastest is 1 + reach times as fast, the
    slowest as much slower.
    """

    kind: Literal["spectral_shift"] = "spectral_shift"
    speeds: Annotated[int, Field(ge=2, le=64, multiple_of=2)] = 16
    reach: Annotated[float, Field(gt=0.0, le=3.0)] = 1.0

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return `references` [clips, bands] and `metric` [bands, bands], both the embedding's own scale."""
        labels = [np.stack([clip.mean(axis=0) for clip in members]).astype(np.float64) for members in clips.values()]
        references = np.concatenate(labels).astype(np.float32)
        if source is not None:  # few clips tell where normal sound is, not how it varies
            return {"references": references, "metric": source["metric"]}
        return {"references": references, "metric": self._metric(labels).astype(np.float32)}

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        check_shapes(fitted, {"references": (None, dims), "metric": (dims, dims)})
        if not fitted["metric"].any(axis=0).all():
            raise RefusalError("a metric that is blind in a direction", "no column of zeros")

    def to_references(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distance to each reference."""
        return factored_to_references(conditions, "metric")

    def _metric(self, labels: Sequence[Matrix]) -> Matrix:
        """Return U R, bands in dB  # [bands, bands]."""
        u = whitening(shrunk_covariance(_within(labels)))
        moved = np.concatenate([shifts(members.mean(axis=0), self._factors()) for members in labels]) @ u
        between = moved.T @ moved
        power = np.trace(between)
        bands = len(between)
        share = bands / power * between if power > 0.0 else np.zeros_like(between)  # a flat spectrum does not move
        return np.asarray(u @ np.linalg.cholesky(np.eye(bands) + share))

    def _factors(self) -> NDArray[np.float64]:
        steps = np.log1p(self.reach) * np.arange(1, self.speeds // 2 + 1) / (self.speeds // 2)
        return np.asarray(np.exp(np.concatenate([-steps, steps])))


def _within(labels: Sequence[Matrix]) -> Matrix:
    """Return how clips differ from the mean of their label, dB [clips, bands], of the mean square that is unbiased.

    A clip that is alone under its label cannot tell; all such clips together are one label.
    """
    alone = [members for members in labels if len(members) == 1]
    together = [members for members in labels if len(members) > 1] + ([np.concatenate(alone)] if alone else [])
    rows = np.concatenate([members - members.mean(axis=0) for members in together])
    return np.asarray(rows * np.sqrt(len(rows) / max(len(rows) - len(together), 1)))


def shifts(spectrum: NDArray[np.float64], factors: NDArray[np.float64]) -> Matrix:
    """Return how a spectrum changes when it is played `factors` times as fast, dB [factors, bands].

    What a copy has at f the original has at f / factor. Where that lies outside of the bands nothing is known, and
    the change is 0.

    Args:
        spectrum: dB, band j at (j + 1) times the distance of two bands  # [bands].
        factors: above 0.
    """
    place = np.arange(1, len(spectrum) + 1, dtype=np.float64)
    copies = [np.interp(place / factor, place, spectrum, left=np.nan, right=np.nan) for factor in factors]
    return np.nan_to_num(np.stack(copies) - spectrum)
