"""Training a recipe: data in, runs out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from lightning_fabric import Fabric

from asd_edge.errors import ConfigError, DataError
from asd_edge.strict import RefusalError

from .batches import Batches, Share
from .build import build_network, build_objective, together
from .checkpoint import Checkpoint
from .crops import check_lengths, context_of
from .data.clip import Clip
from .engine import Engine, loggers
from .features.cache import Cache, cache_folder
from .features.corpus import Corpus
from .features.twin import FrontEndTwin
from .inputs import Inputs, MixedSound, StoredFeatures
from .labels import LabelSet, TrainingSet, check_classes, training_set
from .loop import Done, log, train
from .networks.network import EmbeddingNetwork
from .progress import Progress
from .pseudo_labels import labelled, pseudo_labels
from .recipe import Recipe
from .recipe.training import Labels
from .run import Run

Report = Callable[[int, float], None]


@dataclass(frozen=True)
class Work:
    """Where and how a training works; none of it decides what is learned, but for the engine's rounding.

    Attributes:
        engine: processors.
        cache: folder of the features that are computed once; None takes the user's (features/cache.py).
        unfinished: folder for the state that a training goes on from when it was cut off; None keeps none.
        keep_every_s: least seconds between two writes of that state.
        logs: folder for metrics.csv and TensorBoard's events; None writes none.
    """

    engine: Engine = field(default_factory=Engine)
    cache: Path | None = None
    unfinished: Path | None = None
    keep_every_s: float = 30.0
    logs: Path | None = None

    @cached_property
    def fabric(self) -> Fabric:
        """The engine, started once for all networks."""
        return self.engine.start()


def fit_all(
    recipe: Recipe,
    clips: Sequence[Clip],
    *,
    datasets: Sequence[str],
    seed: int,
    channel: int | None = None,
    machines: Sequence[str] | None = None,
    progress: Progress,
    report: Report = lambda epoch, loss: None,
    work: Work | None = None,
) -> tuple[Run, ...]:
    """Train the recipe: one run for all machines, or one for each machine type, as it says; otherwise as `fit`.

    `machines`: which have a network of their own, where the recipe trains one for each; by default all.
    """
    work = work or Work()
    scopes: list[str | None] = [None]
    if recipe.scope == "machine":
        known = sorted({clip.machine for clip in clips if _trains(clip)})
        _check_machines(machines or (), known)
        scopes = [*(machines or known)]
    return tuple(
        fit(
            recipe,
            clips,
            datasets=datasets,
            seed=seed,
            channel=channel,
            machine=machine,
            progress=progress,
            report=report,
            work=work,
        )
        for machine in scopes
    )


def fit(
    recipe: Recipe,
    clips: Sequence[Clip],
    *,
    datasets: Sequence[str],
    seed: int,
    channel: int | None = None,
    machine: str | None = None,
    progress: Progress,
    report: Report = lambda epoch, loss: None,
    work: Work | None = None,
) -> Run:
    """Train one network, or one ensemble, on training normals.

    Args:
        recipe: what to train.
        clips: all clips; only training normals of the recipe's domains are used.
        datasets: where they come from, for the record.
        seed: of weights, order, crops and mixup; the same seed on the same machine gives the same run, however often
            it was cut off on the way.
        channel: which channel of multi-channel clips to hear; the recipe's by default.
        machine: whose network it is, where the recipe has one for each machine type.
        progress: shows progress bars.
        report: called with the epoch (from 1) and its mean loss.
        work: where and how it works.

    Raises:
        DataError: fewer than two classes, clips shorter than a training crop, or a state of another training.
    """
    work = work or Work()
    recipe = recipe if machine is None else recipe.for_machine(machine)
    channel = recipe.channel if channel is None else channel
    pseudo = _pseudo_labels(recipe, clips, machine, seed=seed, channel=channel, progress=progress, work=work)
    clips = labelled(clips, pseudo)
    chosen = _chosen(recipe, clips, machine, seed)
    probe = build_network(recipe, chosen.classes)
    _check_backend(recipe, probe)
    if recipe.training.objective.kind == "none":
        done = Done(kept=[probe.state_dict()] * (recipe.members * recipe.snapshots))
    else:
        done = _train(
            recipe, probe, clips, chosen, seed=seed, channel=channel, machine=machine, progress=progress,
            report=report, work=work,
        )  # fmt: skip
    return Run(
        recipe=recipe,
        seed=seed,
        datasets=tuple(datasets),
        channel=channel,
        machine=machine,
        classes=chosen.classes,
        held_out=tuple(clip.key for clip in chosen.held_out),
        pseudo_labels=pseudo,
        history=tuple(done.history),
        seconds=done.seconds,
        network=_network(recipe, chosen, done),
    )


def _train(
    recipe: Recipe,
    probe: EmbeddingNetwork,
    clips: Sequence[Clip],
    chosen: TrainingSet,
    *,
    seed: int,
    channel: int | None,
    machine: str | None,
    progress: Progress,
    report: Report,
    work: Work,
) -> Done:
    """Train every member on the chosen clips; `probe` is one of their networks with fresh weights."""
    fabric = work.fabric
    with fabric.rank_zero_first(local=True):  # it computes the features, the others find them
        cache = Cache(cache_folder(work.cache))
        normals = [clip for clip in clips if _trains(clip)]
        inputs, corpus = _inputs(recipe, probe, normals, chosen, channel, cache, fabric.device, progress)
    check_lengths(chosen.clips, corpus, rows=inputs.length, hop=inputs.hop)
    statistics = inputs.statistics(corpus) if probe.standardises else None
    labels: dict[Labels, LabelSet] = {name: LabelSet(chosen.clips, name) for name in get_args(Labels)}
    _check_labels(recipe, labels)
    checkpoint = None
    if work.unfinished is not None:
        digest = _digest(recipe, chosen, seed, fabric.world_size, channel)
        path = work.unfinished / f"{machine or 'all'}.pt"
        checkpoint = Checkpoint(path, of=digest, every_s=work.keep_every_s)
    done, inside = _resumed(checkpoint, fabric)
    logged = loggers(None if work.logs is None else work.logs / (machine or ""))
    log(logged, recipe.training, done.history)  # a logger begins its file anew
    for member in range(len(done.kept) // recipe.snapshots, recipe.members):
        torch.manual_seed(seed + 1000 * member)
        network = build_network(recipe, chosen.classes)
        if statistics is not None:
            network.fit_standardisation(statistics.mean, statistics.deviation)
        objective = build_objective(
            recipe, network, labels, context=context_of(network, recipe), member=member, machine=machine
        )
        batches = Batches(
            chosen.clips,
            corpus,
            inputs,
            labels,
            recipe.training,
            seed=[seed, 2, member],
            against=machine if recipe.training.objective.kind == "outlier_exposure" else None,
            share=Share(fabric.global_rank, fabric.world_size),
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
    if checkpoint is not None and fabric.is_global_zero:
        checkpoint.remove()
    return done


def _check_machines(named: Sequence[str], known: Sequence[str]) -> None:
    unknown = [machine for machine in named if machine not in known]
    if unknown:
        raise DataError(
            f"There is no network to train for {', '.join(unknown)}",
            found=f"training normals of {', '.join(known) or 'no machine'}",
            expected="a machine that has some",
            remedy="Name one of these, or give the data set that has the other with --data.",
        )


def _trains(clip: Clip) -> bool:
    return clip.split == "train" and clip.anomalous is False


def _pseudo_labels(
    recipe: Recipe,
    clips: Sequence[Clip],
    machine: str | None,
    *,
    seed: int,
    channel: int | None,
    progress: Progress,
    work: Work,
) -> dict[str, str]:
    normals = [clip for clip in clips if _trains(clip)]  # all of them: the training finds what is computed here
    if not recipe.training.pseudo_labels or all(clip.attributes for clip in normals):
        return {}
    with work.fabric.rank_zero_first(local=True):
        cache = Cache(cache_folder(work.cache))
        corpus = cache.features(normals, recipe.front_end, channel=channel, progress=progress)
    own = [i for i, clip in enumerate(normals) if machine in (None, clip.machine)]
    return pseudo_labels(
        [normals[i] for i in own], corpus.subset(np.array(own)), most=recipe.training.pseudo_labels, seed=seed
    )


def _chosen(recipe: Recipe, clips: Sequence[Clip], machine: str | None, seed: int) -> TrainingSet:
    """Choose what to learn from: of one machine its own clips, and all others where it is told from them."""
    others = machine is None or recipe.training.objective.kind == "outlier_exposure"
    heard = [clip for clip in clips if others or clip.machine == machine]
    domains = recipe.training.domains
    return training_set(heard, held_out=recipe.calibration.held_out, seed=seed, domains=domains)


def _inputs(
    recipe: Recipe,
    network: EmbeddingNetwork,
    clips: Sequence[Clip],
    chosen: TrainingSet,
    channel: int | None,
    cache: Cache,
    device: torch.device,
    progress: Progress,
) -> tuple[Inputs, Corpus]:
    """Return how inputs are made and the corpus they are made from: of `clips`, of which `chosen` are learned from.

    All are kept in one file, so that another seed or another machine finds it.
    """
    index = {clip: i for i, clip in enumerate(clips)}
    learned = np.array([index[clip] for clip in chosen.clips])
    frames = recipe.training.crops.frames + 2 * context_of(network, recipe)
    spec, mixup = recipe.front_end, recipe.training.mixup
    if network.hears_spectrum or mixup.at == "waveform" or recipe.segment.level != "as_is":
        corpus = cache.samples(clips, spec.sample_rate, channel=channel, progress=progress).subset(learned)
        twin = FrontEndTwin(spec).to(device)
        return MixedSound(frames, twin, recipe.segment.level, network.hears_spectrum), corpus.to(device)
    corpus = cache.features(clips, spec, channel=channel, progress=progress).subset(learned)
    return StoredFeatures(frames, hidden_mixup=mixup.at == "hidden"), corpus.to(device)


def _check_backend(recipe: Recipe, network: EmbeddingNetwork) -> None:
    """Raise ConfigError where the backend cannot read what the network gives: after the training it is too late."""
    try:
        recipe.backend.check_dims(network.dims)
    except RefusalError as refusal:
        raise ConfigError(
            f"The backend {recipe.backend.kind} of the recipe {recipe.name} does not fit its network",
            found=refusal.found,
            expected=refusal.expected,
            remedy="Mend [backend], for example where its parts start and stop.",
        ) from None


def _check_labels(recipe: Recipe, labels: dict[Labels, LabelSet]) -> None:
    objective = recipe.training.objective
    if objective.kind == "classify":
        for loss in objective.losses:
            check_classes(labels[loss.labels], loss.labels)
    elif objective.kind == "outlier_exposure":
        check_classes(labels["machine"], "machine")


def _digest(recipe: Recipe, chosen: TrainingSet, seed: int, world: int, channel: int | None) -> str:
    """Return what two trainings must have in common for one to go on where the other was cut off."""
    facts = [recipe.sha256, seed, world, channel, torch.__version__, [clip.key for clip in chosen.clips]]
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


def _network(recipe: Recipe, chosen: TrainingSet, done: Done) -> EmbeddingNetwork:
    members = [build_network(recipe, chosen.classes) for _ in done.kept]
    for member, weights in zip(members, done.kept, strict=True):
        member.load_state_dict(weights)
    return together(members).eval()
