"""How long a crop is with the context that the device will hear it in, and whether every clip has one."""

from __future__ import annotations

from collections.abc import Sequence

from asd_edge.errors import DataError

from ..data.clip import Clip
from ..features.corpus import Corpus
from ..networks.network import EmbeddingNetwork
from ..networks.tf_resnet import TFResNet
from ..recipe import Recipe


def context_of(network: EmbeddingNetwork, recipe: Recipe) -> int:
    """Return the frames on either side of a crop: a stream network hears its reach, for that is how it will serve."""
    return network.reach if recipe.embedder == "stream" and isinstance(network, TFResNet) else 0


def check_lengths(clips: Sequence[Clip], corpus: Corpus, *, rows: int, hop: int = 1) -> None:
    """Raise DataError if a clip of the corpus has fewer rows than a crop with its context; `hop` rows are a frame."""
    for clip, length in zip(clips, corpus.lengths.tolist(), strict=True):
        if length < rows:
            raise DataError(
                f"The training clip {clip.path.name} is too short",
                found=f"{length // hop} frames",
                expected=f"at least {-(-rows // hop)} frames: a training crop and the context it is heard in",
                remedy="Remove it from the data set or record a longer one.",
            )
