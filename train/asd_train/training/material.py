"""What a training hears: the chosen clips, how inputs are made of them, and their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from ..data.clip import Clip
from ..features.cache import Cache
from ..features.corpus import Corpus
from ..features.pseudo_labels import pseudo_labels
from ..features.twin import FrontEndTwin
from ..labels import LabelSet, check_classes
from ..networks.network import EmbeddingNetwork
from ..progress import Progress
from ..recipe import Recipe
from ..recipe.training import Labels
from .crops import check_lengths, context_of
from .inputs import Inputs, MixedSound, StoredFeatures
from .work import Work


@dataclass(frozen=True)
class Material:
    """`clips`: what is learned from. `corpus`: of these, in their order. `inputs`: what becomes of a cut. `labels`."""

    clips: Sequence[Clip]
    corpus: Corpus
    inputs: Inputs
    labels: Mapping[Labels, LabelSet]


def trains(clip: Clip) -> bool:
    """Return whether a clip is a training normal."""
    return clip.split == "train" and clip.anomalous is False


def gather(
    recipe: Recipe,
    network: EmbeddingNetwork,
    clips: Sequence[Clip],
    chosen: Sequence[Clip],
    *,
    channel: int | None,
    progress: Progress,
    work: Work,
) -> Material:
    """Compute or find what a training hears.

    The features of all training normals are kept in one file, so that another seed or another machine finds it.

    Args:
        recipe: says what is heard.
        network: one like those to train.
        clips: of all data sets.
        chosen: those to learn from.
        channel: of multi-channel clips.
        progress: shows a bar.
        work: where it is computed and kept.

    Raises:
        DataError: fewer than two classes, or a clip shorter than a training crop.
        SourceError: a clip cannot be read.
    """
    labels: dict[Labels, LabelSet] = {name: LabelSet(chosen, name) for name in get_args(Labels)}
    _check_labels(recipe, labels)
    normals = [clip for clip in clips if trains(clip)]
    with work.fabric.rank_zero_first(local=True):  # it computes the features, the others find them
        inputs, corpus = _inputs(recipe, network, normals, chosen, channel, work.cache, work.fabric.device, progress)
    check_lengths(chosen, corpus, rows=inputs.length, hop=inputs.hop)
    return Material(chosen, corpus, inputs, labels)


def attributes_for(
    recipe: Recipe,
    clips: Sequence[Clip],
    machine: str | None,
    *,
    seed: int,
    channel: int | None,
    progress: Progress,
    work: Work,
) -> dict[str, str]:
    """Return pseudo-labels for the clips that have no attributes, by clip key, where the recipe asks for them."""
    normals = [clip for clip in clips if trains(clip)]  # all of them: the training finds what is computed here
    if not recipe.training.pseudo_labels or all(clip.attributes for clip in normals):
        return {}
    with work.fabric.rank_zero_first(local=True):
        corpus = work.cache.features(normals, recipe.front_end, channel=channel, progress=progress)
    own = [i for i, clip in enumerate(normals) if machine in (None, clip.machine)]
    return pseudo_labels(
        [normals[i] for i in own], corpus.subset(np.array(own)), most=recipe.training.pseudo_labels, seed=seed
    )


def _inputs(
    recipe: Recipe,
    network: EmbeddingNetwork,
    clips: Sequence[Clip],
    chosen: Sequence[Clip],
    channel: int | None,
    cache: Cache,
    device: torch.device,
    progress: Progress,
) -> tuple[Inputs, Corpus]:
    """Return how inputs are made and the corpus they are made from: of `clips`, of which `chosen` are learned from."""
    index = {clip: i for i, clip in enumerate(clips)}
    learned = np.array([index[clip] for clip in chosen])
    frames = recipe.training.crops.frames + 2 * context_of(network, recipe)
    spec, mixup = recipe.front_end, recipe.training.mixup
    if network.hears_spectrum or mixup.at == "waveform" or recipe.segment.level != "as_is":
        corpus = cache.samples(clips, spec.sample_rate, channel=channel, progress=progress).subset(learned)
        twin = FrontEndTwin(spec).to(device)
        return MixedSound(frames, twin, recipe.segment.level, network.hears_spectrum), corpus.to(device)
    corpus = cache.features(clips, spec, channel=channel, progress=progress).subset(learned)
    return StoredFeatures(frames, hidden_mixup=mixup.at == "hidden"), corpus.to(device)


def _check_labels(recipe: Recipe, labels: dict[Labels, LabelSet]) -> None:
    objective = recipe.training.objective
    if objective.kind == "classify":
        for loss in objective.losses:
            check_classes(labels[loss.labels], loss.labels)
    elif objective.kind == "outlier_exposure":
        check_classes(labels["machine"], "machine")
