"""Negative log-likelihoods of a section, of its attributes or target clips, and of the temporal maximum, added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    all_segments,
    check_names,
    check_shapes,
    clip_means,
    count_of,
    dims_of,
    stored_under,
    under,
)
from asd_edge.scoring.backends.clusters import k_means
from asd_edge.scoring.backends.gaussians import Matrix, covariance, shrunk, whitening
from asd_edge.scoring.backends.mixtures import (
    DIAGONAL,
    check_components,
    clusters_of,
    component_logs,
    learned,
    peaks,
    stored,
    together,
)
from asd_edge.scoring.distances import normalised
from asd_edge.strict import Count, RefusalError

CLIPS_A_COMPONENT = 8
"""[ours] A component of fewer clips is around those and tells nothing of the next one. The paper's sections have a
thousand source clips and its attributes a hundred or more, so that its 16 components stay."""

MOST_TARGETS = 3
"""Components of a later condition: the target clips of a section in DCASE 2021."""


# Wilkinghoff (DCASE 2021), equations 2 to 4, P(x|·,k) = w_k N(x; μ_k, Σ_k):
#   source  Z = −max_k log P(x|section,k) − max_a max_k log P(x|a,k), a the attributes of the section
#   target  Z = −max_k log P(x|section,k) − max_k log P(x|X_target,k), the section's mixture being the source's
#   and of the source alone, where asked for, − max_a log P(t(x)|a), one Gaussian an attribute, t the temporal maximum.
# Distance: each term plus the constant max_k log w_k N(μ_k; μ_k, Σ_k), which is never below what is subtracted. It
# leaves the order within a condition and makes distances >= 0 (gmm.py says why). (2π)^(−dims/2) cancels.
#
# [ours] All sound of a target that is far from the source has a large first term; a threshold that is a multiple of it
# would let faults pass. So a target's distances are counted from the smallest Z of its own clips, and 0 below that: no
# order is lost but among sounds that are more normal than those. In 2021 the domain of a clip was known; here the
# nearer of two conditions decides.
class MixtureLikelihood(Backend):
    """The embedding is a vector of `embedding` numbers, whose length does not count, then the temporal maximum.

    `components`: S of each mixture, fewer where there are few clips. They start at k-means centres, not at the
    network's class centres, which a bundle does not have [ours]. `temporal_maximum`: its term is added; else what
    follows the embedding is ignored. Labels are the attributes.
    """

    kind: Literal["mixture_likelihood"] = "mixture_likelihood"
    components: Annotated[int, Field(ge=1, le=256)]
    embedding: Count
    temporal_maximum: bool

    def check_dims(self, dims: int) -> None:
        """Check that there is an embedding, and a temporal maximum where that is heard."""
        least = self.embedding + self.temporal_maximum
        if dims < least:
            raise RefusalError(f"embeddings of {dims} numbers", f"at least {least}")

    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Return the mixtures `section` and `attribute`, the latter's following each other, and `maximum`.

        Each has `log_weights` [components], `means` [components, dims] and `whitenings` [components, dims, dims].
        Of a later condition `section` is the source's and `attribute` a mixture of its clips, at most three; there is
        no `maximum`. `floor` [1] is what distances are counted from, 0 for the source.
        """
        dims_of(self, clips)
        vectors = {label: [clip[:, : self.embedding] for clip in members] for label, members in clips.items()}
        zero = {"floor": np.zeros(1, dtype=np.float32)}
        if source is not None:
            later = stored_under({"section": under(source, "section"), "attribute": _of_targets(vectors)})
            own = self.scorer([later | zero])(np.concatenate([clip for members in clips.values() for clip in members]))
            return later | {"floor": own.min(axis=0)}
        parts = {
            "section": self._mixture(vectors),
            "attribute": together([self._mixture({label: members}) for label, members in vectors.items()]),
        }
        if self.temporal_maximum:
            parts["maximum"] = _maxima([[clip[:, self.embedding :] for clip in members] for members in clips.values()])
        return stored_under(parts) | zero

    def _mixture(self, clips: Clips) -> Fitted:
        rows = all_segments(clips)
        affordable = max(1, count_of(clips) // CLIPS_A_COMPONENT)
        return stored(*learned(rows, clusters_of(rows, min(self.components, affordable))))

    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file."""
        self.check_dims(dims)
        lengths = {"section": self.embedding, "attribute": self.embedding}
        if self.temporal_maximum and under(fitted, "maximum"):  # a later condition has none
            lengths["maximum"] = dims - self.embedding
        check_names(fitted, [*lengths, "floor"])
        check_shapes({name: array for name, array in fitted.items() if "." not in name}, {"floor": (1,)})
        if fitted["floor"][0] < 0.0:
            raise RefusalError("a floor below 0", "the smallest of some distances")
        totals = {name: check_components(under(fitted, name), length) for name, length in lengths.items()}
        for name, total in totals.items():
            mixtures = 1 if name == "section" else max(1, round(total))  # each label's weights sum to 1
            if abs(total - mixtures) > 1e-4 * mixtures:  # float32 logarithms
                raise RefusalError(f"weights of {name} that sum to {total:.4g}", "weights of mixtures, which sum to 1")

    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together."""
        terms = [_term([under(fitted, name) for fitted in conditions]) for name in ("section", "attribute")]
        floors = np.concatenate([fitted["floor"] for fitted in conditions])
        hearing = [i for i, fitted in enumerate(conditions) if under(fitted, "maximum")]
        maximum = _term([under(conditions[i], "maximum") for i in hearing]) if hearing else None

        def distances(embeddings: Embeddings) -> NDArray[np.float32]:
            unit = normalised(embeddings[:, : self.embedding])
            total = np.sum([term(unit) for term in terms], axis=0)
            if maximum is not None:
                total[:, hearing] += maximum(embeddings[:, self.embedding :])
            return np.asarray(np.maximum(total - floors, 0.0), dtype=np.float32)

        return distances


def _term(mixtures: Sequence[Fitted]) -> Callable[[NDArray[np.float32]], Matrix]:
    """Return what computes −max_k log w_k N(x; μ_k, Σ_k) of some mixtures, plus each one's constant: >= 0."""
    starts = np.cumsum([0, *(len(mixture["means"]) for mixture in mixtures[:-1])])
    components = together(mixtures)
    logs_of, best = component_logs(components), np.maximum.reduceat(peaks(components), starts)
    return lambda rows: np.asarray(best - np.maximum.reduceat(logs_of(rows), starts, axis=1))  # [segments, mixtures]


def _of_targets(clips: Clips) -> Fitted:
    """Return the mixture that starts at the clips: in effect the distance to the nearest of them."""
    _, labels = k_means(clip_means(clips).astype(np.float64), MOST_TARGETS)  # of three clips or fewer, each its own
    lengths = [len(clip) for members in clips.values() for clip in members]
    responsibilities = np.repeat(labels, lengths)[:, None] == np.unique(labels)
    return stored(*learned(all_segments(clips), responsibilities.astype(np.float64)))


# A label's own covariance of 128 numbers from few clips is singular, and its Gaussian next to infinitely high: it is
# drawn towards what the labels have on average (`gaussians.shrunk`) [ours].
def _maxima(labels: Sequence[Sequence[NDArray[np.float32]]]) -> Fitted:
    """Return one Gaussian for each label, all of weight 1, as components."""
    rows = [np.concatenate(clips).astype(np.float64) for clips in labels]
    counts = np.array([len(clips) for clips in labels])
    own = np.stack([covariance(of_label) for of_label in rows])
    prior = np.tensordot(counts / counts.sum(), own, axes=1)
    diagonal = DIAGONAL * np.eye(rows[0].shape[1])
    factors = [
        whitening(shrunk(one, clips=int(count), prior=prior) + diagonal) for one, count in zip(own, counts, strict=True)
    ]
    means = np.stack([of_label.mean(axis=0) for of_label in rows])
    return stored(np.ones(len(rows)), means, np.stack(factors))
