"""Training: one network for all machines learns to tell their attribute classes apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .crops import Crops
from .data.clip import Clip
from .features import read_features
from .labels import TrainingSet, class_of, training_set
from .mixup import mix, partners_in_type
from .networks.network import EmbeddingNetwork
from .optimise import descend, sgd
from .progress import Progress
from .recipe import Recipe
from .run import Run, build_network


def fit(
    recipe: Recipe,
    clips: Sequence[Clip],
    *,
    datasets: Sequence[str],
    seed: int,
    channel: int | None = None,
    progress: Progress,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Run:
    """Train the recipe's network on the source normals of all machines.

    Args:
        recipe: what to train.
        clips: all clips; only source training normals are used.
        datasets: where they come from, for the record.
        seed: of weights, order, crops and mixup; the same seed on the same machine gives the same run.
        channel: which channel of multi-channel clips to hear.
        progress: shows progress bars.
        report: called with the epoch (from 1) and its mean loss.

    Raises:
        DataError: fewer than two classes, or clips shorter than a training crop.
    """
    chosen = training_set(clips, held_out=recipe.calibration.held_out, seed=seed)
    features = read_features(chosen.clips, recipe.front_end, channel=channel, progress=progress)
    torch.manual_seed(seed)
    network = build_network(recipe)
    Crops(network, recipe).check(chosen.clips, features)
    frames = np.concatenate(features)
    network.fit_standardisation(torch.from_numpy(frames.mean(axis=0)), torch.from_numpy(frames.std(axis=0)))
    del frames
    history = _train(network, recipe, chosen, features, seed, progress, report)
    return Run(
        recipe=recipe,
        seed=seed,
        datasets=tuple(datasets),
        channel=channel,
        classes=chosen.classes,
        held_out=tuple(clip.key for clip in chosen.held_out),
        history=tuple(history),
        network=network.cpu().eval(),
    )


def _train(
    network: EmbeddingNetwork,
    recipe: Recipe,
    chosen: TrainingSet,
    features: list[NDArray[np.float32]],
    seed: int,
    progress: Progress,
    report: Callable[[int, float], None],
) -> list[float]:
    training, crops = recipe.training, Crops(network, recipe)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    head = nn.Linear(recipe.network.dims, len(chosen.classes))
    network.to(device).train()
    head.to(device)
    optimiser = sgd([*network.parameters(), *head.parameters()], training, training.schedule[0].learning_rate)
    index = {name: i for i, name in enumerate(chosen.classes)}
    labels = torch.eye(len(index))[[index[class_of(clip)] for clip in chosen.clips]]
    _, machines = np.unique([clip.machine for clip in chosen.clips], return_inverse=True)
    generator = np.random.default_rng([seed, 2])
    rates = [phase.learning_rate for phase in training.schedule for _ in range(phase.epochs)]
    history: list[float] = []
    for epoch, rate in enumerate(progress.track(rates, "training", len(rates)), start=1):
        for group in optimiser.param_groups:
            group["lr"] = rate
        losses = []
        for batch in _batches(len(features), training.batch, generator):
            x = crops.cut([features[i] for i in batch], generator)
            partners = partners_in_type(machines[batch], generator)
            x, y = mix(x, labels[batch], partners, training.mixup.alpha, generator)
            # Softmax cross-entropy on the unit embedding; the paper mentions no scale, a unit vector needs one.
            logits = head(training.logit_scale * crops.embed(x.to(device)))
            losses.append(descend(optimiser, nn.functional.cross_entropy(logits, y.to(device))))
        history.append(float(np.mean(losses)))
        report(epoch, history[-1])
    return history


def _batches(count: int, size: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Shuffle and cut; a last batch of one clip is left out, for batch norm has nothing to average there."""
    order = generator.permutation(count)
    batches = [order[i : i + size] for i in range(0, count, size)]
    return [batch for batch in batches if len(batch) > 1]
