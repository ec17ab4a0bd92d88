"""Training a recipe: data in, runs out."""

from __future__ import annotations

from collections.abc import Sequence

from asd_edge.errors import ConfigError, DataError
from asd_edge.strict import RefusalError

from ..data.clip import Clip
from ..features.pseudo_labels import labelled
from ..labels import TrainingSet, training_set
from ..networks.build import build_network, together
from ..networks.network import EmbeddingNetwork
from ..progress import Progress
from ..recipe import Recipe
from ..run import Run
from .loop import Done
from .material import attributes_for, gather, trains
from .members import Report, train_members
from .work import Work


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
        known = sorted({clip.machine for clip in clips if trains(clip)})
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
    pseudo = attributes_for(recipe, clips, machine, seed=seed, channel=channel, progress=progress, work=work)
    clips = labelled(clips, pseudo)
    chosen = choose(recipe, clips, machine, seed)
    probe = build_network(recipe, chosen.classes)
    _check_backend(recipe, probe)
    if recipe.training.objective.kind == "none":
        done = Done(kept=[probe.state_dict()] * (recipe.members * recipe.snapshots))
    else:
        material = gather(recipe, probe, clips, chosen.clips, channel=channel, progress=progress, work=work)
        done = train_members(
            recipe,
            material,
            chosen,
            seed=seed,
            channel=channel,
            machine=machine,
            progress=progress,
            report=report,
            work=work,
        )
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


def _check_machines(named: Sequence[str], known: Sequence[str]) -> None:
    unknown = [machine for machine in named if machine not in known]
    if unknown:
        raise DataError(
            f"There is no network to train for {', '.join(unknown)}",
            found=f"training normals of {', '.join(known) or 'no machine'}",
            expected="a machine that has some",
            remedy="Name one of these, or give the data set that has the other with --data.",
        )


def choose(recipe: Recipe, clips: Sequence[Clip], machine: str | None, seed: int) -> TrainingSet:
    """Choose what to learn from: of one machine its own clips, and all others where it is told from them."""
    others = machine is None or recipe.training.objective.kind == "outlier_exposure"
    heard = [clip for clip in clips if others or clip.machine == machine]
    domains = recipe.training.domains
    return training_set(heard, held_out=recipe.calibration.held_out, seed=seed, domains=domains)


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


def _network(recipe: Recipe, chosen: TrainingSet, done: Done) -> EmbeddingNetwork:
    members = [build_network(recipe, chosen.classes) for _ in done.kept]
    for member, weights in zip(members, done.kept, strict=True):
        member.load_state_dict(weights)
    return together(members).eval()
