"""Fine-tuning: a trained network adapts to a few clips of a machine's target domain (Chen et al., ICASSP 2022)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd
from asd_edge.errors import ConfigError, DataError
from asd_edge.imprint import active_embeddings
from asd_edge.offline import EmbeddedClip, idle_floor_of
from asd_edge.pipeline import Pipeline, SegmentStreams
from asd_edge.scoring.distances import mean_centre
from asd_edge.sources.file import read_clip

from ..data.clip import Clip
from ..embedder import torch_pipeline
from ..features.corpus import Corpus
from ..labels import class_of
from ..progress import Progress
from ..run import FineTuned, Run
from ..training.crops import check_lengths, context_of
from ..training.optimise import descend, optimiser_of
from .centre_loss import centre_loss

Sound = NDArray[np.float32]
"""The samples of one clip at the recipe's rate, float32 [n]."""


def finetune(
    run: Run,
    target: Sequence[Clip],
    source: Sequence[Clip],
    *,
    seed: int,
    progress: Progress,
    report: Callable[[int, float], None] = lambda iteration, loss: None,
) -> Run:
    """Adapt the run's network to the target classes with the centre loss; return a new run.

    Before every iteration the centre of each class is renewed: the mean embedding of its whole clips, made by the
    code that imprints. Then one step of gradient descent is taken on random crops of target clips. Batch norm keeps
    the statistics of the training: those of a few clips of one machine would be poor ones.

    With a single target class the published loss is identically zero. OUR extension: the centres of the source
    classes of the same machine type then join the sum, each from `source_clips` of the clips that the run was trained
    on. They are renewed like the others, but no crop of them is learned.

    It computes on the CPU: the clips are few.

    Args:
        run: stays as it is.
        target: clips of the target classes, all of one machine type.
        source: the clips that the run was trained on; used for a single target class alone.
        seed: of the crops and of the choice of source clips; the same seed gives the same run.
        progress: shows progress bars.
        report: called with the iteration (from 1) and its loss.

    Raises:
        ConfigError: the run's recipe does not say how to fine-tune.
        DataError: a clip shorter than a training crop, or no source clips to tell a single target class from.
        SourceError: a clip cannot be read.
    """
    settings = run.recipe.finetune
    if settings is None:
        raise ConfigError(
            "The recipe of this run does not say how to fine-tune",
            found="no table [finetune]",
            expected="iterations, batch, learning_rate and source_clips",
            remedy="Train the network again with a recipe that has them, as tf_resnet does.",
        )
    generator = np.random.default_rng([seed, 3])
    classes = tuple(sorted({class_of(clip) for clip in target}))
    anchors = _anchors(run, target[0], source, settings.source_clips, generator) if len(classes) == 1 else []
    source_classes = tuple(sorted({class_of(clip) for clip in anchors}))
    sounds = {clip: _read(clip, run) for clip in (*target, *anchors)}
    members = [[sounds[clip] for clip in sounds if class_of(clip) == name] for name in (*classes, *source_classes)]
    network = deepcopy(run.network).eval()
    context = context_of(network, run.recipe)
    frames = run.recipe.training.crops.frames + 2 * context
    corpus = Corpus.of_clips([FrontEnd(run.recipe.front_end).push(sounds[clip]).features for clip in target])
    check_lengths(target, corpus, rows=frames)
    labels = torch.tensor([classes.index(class_of(clip)) for clip in target])
    optimiser = optimiser_of(network.parameters(), run.recipe.training.optimiser, settings.learning_rate)
    adapted = replace(run, network=network)
    history = []
    for iteration in progress.track(range(1, settings.iterations + 1), "fine-tuning", settings.iterations):
        centres = class_centres(torch_pipeline(adapted), members)
        batch = generator.integers(0, len(target), size=settings.batch)
        crops = corpus.cut(batch, generator.integers(0, corpus.lengths[batch] - frames + 1), frames)
        embeddings = network(crops, context=context) if context else network(crops)
        history.append(descend(optimiser, centre_loss(embeddings, torch.from_numpy(centres), labels[batch])))
        report(iteration, history[-1])
    done = FineTuned(seed, classes, source_classes, tuple(history))
    return replace(adapted, finetuned=(*run.finetuned, done))


# C_k = (1/N) Σ_i f(x_i), Chen et al., ICASSP 2022, equation 3.
def class_centres(pipeline: Pipeline, classes: Sequence[Sequence[Sound]]) -> NDArray[np.float32]:
    """Return the centre of each class from its whole clips, float32 [classes, dims]."""
    embedded = embed_together(pipeline, [sound for sounds in classes for sound in sounds])
    centres = []
    for sounds in classes:
        own, embedded = embedded[: len(sounds)], embedded[len(sounds) :]
        centres.append(mean_centre(active_embeddings(own, idle_floor_of(own))))
    return np.stack(centres)


def embed_together(pipeline: Pipeline, sounds: Sequence[Sound]) -> list[EmbeddedClip]:
    """Embed clips side by side, as channels of one device: several times faster than one after the other."""
    streams = SegmentStreams(pipeline)
    segments = streams.advance([streams.initial_state() for _ in sounds], sounds)
    return [EmbeddedClip("", heard) for heard in segments]


def _read(clip: Clip, run: Run) -> Sound:
    return read_clip(clip.path, rate=run.recipe.front_end.sample_rate, channel=run.channel)


def _anchors(run: Run, target: Clip, source: Sequence[Clip], count: int, generator: np.random.Generator) -> list[Clip]:
    """Draw the clips that stand for the source classes of the target's machine, from those the run was trained on."""
    members: dict[str, list[Clip]] = defaultdict(list)
    for clip in source:
        trained = clip.split == "train" and clip.anomalous is False and clip.key not in run.held_out
        if trained and clip.machine == target.machine and class_of(clip) in run.classes:
            members[class_of(clip)].append(clip)
    if not members:
        raise DataError(
            f"There is nothing to tell {class_of(target)} from: the loss of a single class is zero",
            found=f"no training clips of {target.machine} in the run's data sets",
            expected="clips of its source classes, which the run was trained on, or a second target class",
            remedy="Give the data sets of the run with --data, or sort the clips into a sub-folder for each class.",
        )
    return [
        members[name][i] for name in sorted(members) for i in sorted(generator.permutation(len(members[name]))[:count])
    ]
