"""Training: one network for all machines learns to tell their attribute classes apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asd_edge.errors import DataError

from .data.clip import Clip
from .features import read_features
from .labels import TrainingSet, class_of, training_set
from .mixup import mix, partners_in_type
from .networks.network import EmbeddingNetwork
from .networks.tf_resnet import TFResNet
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
    _check_lengths(chosen.clips, features, recipe.training.crop_frames + 2 * _context(network, recipe))
    frames = np.concatenate(features)
    network.standardise.fit(torch.from_numpy(frames.mean(axis=0)), torch.from_numpy(frames.std(axis=0)))
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
    training, context = recipe.training, _context(network, recipe)
    embed = partial(network, context=context) if context else network
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    head = nn.Linear(recipe.network.dims, len(chosen.classes))
    network.to(device).train()
    head.to(device)
    optimiser = torch.optim.SGD(
        [*network.parameters(), *head.parameters()],
        lr=training.schedule[0].learning_rate,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
    )
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
            x = _crops([features[i] for i in batch], training.crop_frames + 2 * context, generator)
            partners = partners_in_type(machines[batch], generator)
            x, y = mix(x, labels[batch], partners, training.mixup.alpha, generator)
            # Softmax cross-entropy on the unit embedding; the paper mentions no scale, a unit vector needs one.
            logits = head(training.logit_scale * embed(x.to(device)))
            loss = nn.functional.cross_entropy(logits, y.to(device))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            losses.append(float(loss.detach()))
        history.append(float(np.mean(losses)))
        report(epoch, history[-1])
    return history


def _context(network: EmbeddingNetwork, recipe: Recipe) -> int:
    """Return the frames around a crop that it is heard in: a stream network's reach, for that is how it will serve."""
    return network.reach if recipe.embedder == "stream" and isinstance(network, TFResNet) else 0


def _batches(count: int, size: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """Shuffle and cut; a last batch of one clip is left out, for batch norm has nothing to average there."""
    order = generator.permutation(count)
    batches = [order[i : i + size] for i in range(0, count, size)]
    return [batch for batch in batches if len(batch) > 1]


def _crops(clips: list[NDArray[np.float32]], frames: int, generator: np.random.Generator) -> Tensor:
    """Cut one crop of `frames` at a random position from each clip. [batch, frames, bands]."""
    starts = [int(generator.integers(0, len(clip) - frames + 1)) for clip in clips]
    crops = [clip[start : start + frames] for clip, start in zip(clips, starts, strict=True)]
    return torch.from_numpy(np.stack(crops))


def _check_lengths(clips: Sequence[Clip], features: list[NDArray[np.float32]], frames: int) -> None:
    for clip, rows in zip(clips, features, strict=True):
        if len(rows) < frames:
            raise DataError(
                f"The training clip {clip.path.name} is too short",
                found=f"{len(rows)} frames",
                expected=f"at least {frames} frames: a training crop and the context it is heard in",
                remedy="Remove it from the data set or record a longer one.",
            )
