"""The training loop: one for every system, on one processor or many, which can be cut off at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.logger import Logger
from torch import Tensor

from asd_edge.errors import DataError

from ..features.prefetch import prefetch
from ..objectives.objective import Objective
from ..progress import Progress
from ..recipe.training import Training
from .batches import Batches
from .checkpoint import Checkpoint
from .optimise import learning_rate, optimiser_of

Weights = dict[str, Tensor]


@dataclass
class Done:
    """What an ensemble's training has come to.

    Attributes:
        kept: weights of the networks that are finished, in order.
        history: mean loss of each epoch, member after member.
        seconds: spent in epochs.
    """

    kept: list[Weights] = field(default_factory=list)
    history: list[float] = field(default_factory=list)
    seconds: float = 0.0


def train(
    fabric: Fabric,
    objective: Objective,
    batches: Batches,
    training: Training,
    done: Done,
    *,
    seed: int,
    snapshots: int,
    checkpoint: Checkpoint | None,
    resumed: dict[str, Any] | None,
    logged: Sequence[Logger],
    progress: Progress,
    report: Callable[[int, float], None],
) -> None:
    """Train one network and add it to what is done.

    Args:
        fabric: where it computes.
        objective: with the network and its heads.
        batches: what it learns from.
        training: the recipe's table.
        done: is added to.
        seed: of everything that torch draws.
        snapshots: networks to keep, from equally spaced epochs, the last among them.
        checkpoint: keeps the state after every epoch; None keeps none.
        resumed: the state to go on from.
        logged: where loss and learning rate of each epoch are written.
        progress: shows a bar.
        report: called with the epoch (from 1) and its mean loss.
    """
    optimiser = optimiser_of(objective.parameters(), training.optimiser, training.schedule[0].learning_rate)
    first = 0
    model, fabric_optimiser = fabric.setup(objective, optimiser)
    if resumed is not None:  # after the weights have moved: the optimiser's state follows them
        objective.load_state_dict(resumed["objective"])
        optimiser.load_state_dict(resumed["optimiser"])
        first = resumed["epoch"]
    steps = batches.count()
    ends = {training.epochs * (i + 1) // snapshots for i in range(snapshots)}
    left = range(first, training.epochs)
    for epoch in progress.track(left, "training", len(left)) if fabric.is_global_zero else left:
        start = time.perf_counter()
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch, fabric.global_rank]).generate_state(1)[0]))
        model.train()
        losses = []
        for step, batch in enumerate(prefetch(batches.epoch(epoch))):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(training.schedule, epoch + step / steps)
            loss = model(batch.to(fabric.device))
            fabric_optimiser.zero_grad()
            fabric.backward(loss)
            fabric_optimiser.step()
            losses.append(loss.detach())
        mean = fabric.all_reduce(torch.stack(losses).mean())
        assert isinstance(mean, Tensor)
        done.history.append(_finite(float(mean), epoch))
        done.seconds += time.perf_counter() - start
        log(logged, training, done.history, since=len(done.history) - 1)
        report(epoch + 1, done.history[-1])
        if epoch + 1 in ends:
            done.kept.append({name: tensor.cpu().clone() for name, tensor in objective.network.state_dict().items()})
        last = epoch + 1 == training.epochs
        if checkpoint is not None and fabric.is_global_zero and (last or checkpoint.due):
            inside = {"epoch": epoch + 1, "objective": objective.state_dict(), "optimiser": optimiser.state_dict()}
            checkpoint.save({"done": asdict(done), "inside": None if last else inside})


def _finite(loss: float, epoch: int) -> float:
    if math.isfinite(loss):
        return loss
    raise DataError(
        "The training has diverged",
        found=f"a mean loss of {loss} in epoch {epoch + 1}",
        expected="a number",
        remedy="Lower the learning rate. Sub-cluster AdaCos needs mixup: its scale grows without bound where classes "
        "are told apart.",
    )


def log(logged: Sequence[Logger], training: Training, history: Sequence[float], *, since: int = 0) -> None:
    """Write loss of each epoch and the learning rate it began with, from the epoch with index `since` on."""
    for index in range(since, len(history)):
        rate = learning_rate(training.schedule, index % training.epochs)
        for logger in logged:
            logger.log_metrics({"loss": history[index], "learning_rate": rate}, step=index + 1)
            logger.save()
