"""What every backend is. It learns in `fit`, which never scores, and scores in `scorer`, which never learns."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import ConfigError
from asd_edge.scoring.distances import normalised
from asd_edge.strict import RefusalError, Strict

Embeddings = NDArray[np.float32]  # [segments, dims]
Fitted = Mapping[str, NDArray[np.float32]]
"""What a backend has learned of one condition: arrays by name, which a bundle and the site state store as they are."""
Clips = Mapping[str, Sequence[Embeddings]]
"""Normal sound to learn from: by label, one array of segment embeddings a clip, [segments >= 1, dims]."""
Distances = Callable[[Embeddings], NDArray[np.float32]]
"""Embeddings to distances from some conditions, float32 [segments, dims] -> [segments, conditions]."""


class Backend(Strict):
    """A kind of distance and its parameters, as they stand in a bundle's manifest and in a recipe.

    A distance is finite and >= 0 for every embedding without NaN, 0 where it could not be smaller, and higher is more
    anomalous. Distances of two kinds are not on one scale.
    """

    kind: str

    @property
    def unrelated(self) -> float:
        """Distance of embeddings that have nothing in common; infinite where the distance has no such bound."""
        return math.inf

    @property
    def imprints(self) -> bool:
        """Whether what is learned of a condition changes a distance; where not, conditions cannot be told apart."""
        return True

    def check_dims(self, dims: int) -> None:
        """Check the length of the embeddings.

        Raises:
            RefusalError: the graph's output cannot be what this backend reads.
        """

    @abstractmethod
    def fit(self, clips: Clips, *, source: Fitted | None = None) -> Fitted:
        """Learn what is normal under one condition.

        Args:
            clips: at least one label with at least one clip.
            source: what was learned of the machine's source condition, if there is one: a condition of few clips
                takes from it what few clips cannot tell. None when this is the source itself.

        Raises:
            ConfigError: the embeddings have a length that this backend cannot read.
        """

    @abstractmethod
    def check(self, fitted: Fitted, dims: int) -> None:
        """Check arrays that were read from a file.

        Raises:
            RefusalError: they cannot be what `fit` returned for embeddings of `dims` numbers.
        """

    @abstractmethod
    def scorer(self, conditions: Sequence[Fitted]) -> Distances:
        """Return what computes the distances from some conditions together; it holds no state that a call changes."""


def clip_means(clips: Clips) -> Embeddings:
    """Return each clip's mean embedding at unit length, float32 [clips, dims].

    A clip gives one vector and not one a segment: overlapping segments of one clip are no independent witnesses of
    normal sound, and would be each other's nearest neighbours.
    """
    return normalised(np.stack([clip.mean(axis=0) for members in clips.values() for clip in members]))


def all_segments(clips: Clips) -> NDArray[np.float64]:
    """Return every segment's embedding at unit length, in double precision to learn from, [segments, dims]."""
    stacked = np.concatenate([clip for members in clips.values() for clip in members])
    return normalised(stacked).astype(np.float64)


def count_of(clips: Clips) -> int:
    """Return the number of clips."""
    return sum(len(members) for members in clips.values())


def dims_of(backend: Backend, clips: Clips) -> int:
    """Return the length of the clips' embeddings.

    Raises:
        ConfigError: the backend cannot read embeddings of that length.
    """
    dims = int(next(clip.shape[1] for members in clips.values() for clip in members))
    try:
        backend.check_dims(dims)
    except RefusalError as refusal:
        raise ConfigError(
            f"The backend {backend.kind!r} does not fit the network",
            found=refusal.found,
            expected=refusal.expected,
            remedy="Name a backend that reads what this network gives (docs/backends.md), or correct its parameters.",
        ) from None
    return dims


def under(fitted: Fitted, name: str) -> Fitted:
    """Return the arrays that were stored under `name`: `name.references` as `references`."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): array for key, array in fitted.items() if key.startswith(prefix)}


def stored_under(parts: Mapping[str, Fitted]) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of several parts as those of one condition, each under its part's name."""
    return {f"{name}.{key}": array for name, fitted in parts.items() for key, array in fitted.items()}


def check_names(fitted: Fitted, parts: Collection[str]) -> None:
    """Refuse arrays that are stored under no part.

    Raises:
        RefusalError: there are some.
    """
    others = sorted(name for name in fitted if name.partition(".")[0] not in parts)
    if others:
        raise RefusalError(f"the arrays {others}", f"arrays of the parts {', '.join(parts)}")


def check_shapes(fitted: Fitted, expected: Mapping[str, tuple[int | None, ...]]) -> None:
    """Refuse arrays of other names or shapes, or that hold no finite numbers; None stands for any length but 0.

    Raises:
        RefusalError: which array, and what was expected.
    """
    if set(fitted) != set(expected):
        raise RefusalError(f"the arrays {sorted(fitted)}", f"exactly {sorted(expected)}")
    for name, array in fitted.items():
        wanted = expected[name]
        fits = array.ndim == len(wanted) and all(
            have == want if want is not None else have > 0 for have, want in zip(array.shape, wanted, strict=True)
        )
        if not fits:
            shown = ["n" if length is None else length for length in wanted]
            raise RefusalError(f"{name} of shape {list(array.shape)}", f"shape [{', '.join(map(str, shown))}]")
        if not np.isfinite(array).all():
            raise RefusalError(f"NaN or infinity in {name}", "finite numbers")
