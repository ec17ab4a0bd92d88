"""Training the members of an ensemble, one after the other, from wherever an earlier call was cut off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric

from asd_edge.errors import DataError

from ..labels import TrainingSet
from ..networks.build import build_network
from ..networks.network import EmbeddingNetwork
from ..objectives.build import build_objective
from ..progress import Progress
from ..recipe import Recipe
from .batches import Batches, Share
from .checkpoint import Checkpoint
from .crops import context_of
from .engine import loggers
from .loop import Done, log, train
from .material import Material
from .work import Work

Report = Callable[[int, float], None]


def train_members(
    recipe: Recipe,
    material: Material,
    chosen: TrainingSet,
    *,
    seed: int,
    channel: int | None,
    machine: str | None,
    progress: Progress,
    report: Report,
    work: Work,
) -> Done:
    """Train every member; arguments as in `fit`.

    Raises:
        DataError: the state to go on from is of another training.
    """
    fabric = work.fabric
    checkpoint = None
    if work.unfinished is not None:
        engine = [fabric.world_size, fabric.device.type, work.engine.precision]
        digest = _digest(recipe, chosen, seed, channel, engine)
        path = work.unfinished / f"{machine or 'all'}.pt"
        checkpoint = Checkpoint(path, of=digest, every_s=work.keep_every_s)
    done, inside = _resumed(checkpoint, fabric)
    logged = loggers(None if work.logs is None else work.logs / (machine or ""))
    log(logged, recipe.training, done.history)  # a logger begins its file anew
    for member in range(len(done.kept) // recipe.snapshots, recipe.members):
        torch.manual_seed(seed + 1000 * member)
        network = _fresh(recipe, chosen, material)
        objective = build_objective(
            recipe, network, material.labels, context=context_of(network, recipe), member=member, machine=machine
        )
        batches = Batches(
            material.clips,
            material.corpus,
            material.inputs,
            material.labels,
            recipe.training,
            seed=[seed, 2, member],
            against=machine if recipe.training.objective.kind == "outlier_exposure" else None,
            share=Share(fabric.global_rank, fabric.world_size),
        )
        if batches.count() == 0:
            raise DataError(
                "There is not one batch to train with",
                found=f"{len(material.clips)} training clips for {fabric.world_size} processes",
                expected="at least two crops for each process",
                remedy="Add clips, or train with fewer devices.",
            )
        train(
            fabric,
            objective,
            batches,
            recipe.training,
            done,
            seed=seed + 1000 * member,
            snapshots=recipe.snapshots,
            checkpoint=checkpoint,
            resumed=inside,
            logged=logged,
            progress=progress,
            report=report,
        )
        inside = None
    return done


def _fresh(recipe: Recipe, chosen: TrainingSet, material: Material) -> EmbeddingNetwork:
    """Return a network before its first step."""
    network = build_network(recipe, chosen.classes)
    if network.standardises:
        statistics = material.inputs.statistics(material.corpus)
        network.fit_standardisation(statistics.mean, statistics.deviation)
    return network


def _digest(recipe: Recipe, chosen: TrainingSet, seed: int, channel: int | None, engine: Sequence[object]) -> str:
    """Return what two trainings must have in common for one to go on where the other was cut off."""
    facts = [recipe.sha256, seed, channel, torch.__version__, [clip.key for clip in chosen.clips], *engine]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _resumed(checkpoint: Checkpoint | None, fabric: Fabric) -> tuple[Done, dict[str, Any] | None]:
    """Return what is done, and the state inside an unfinished network; the first process tells the others."""
    state: dict[str, Any] | None = None
    if checkpoint is not None and fabric.is_global_zero:
        state = checkpoint.load()
    state = fabric.broadcast(state)
    if state is None:
        return Done(), None
    inside: dict[str, Any] | None = state["inside"]
    return Done(**state["done"]), inside
