"""A training run or a bundle, commissioned and scored on the test clips of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asd_edge.bundle.bundle import Bundle
from asd_edge.offline import EmbeddedClip
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.conditions import ConditionSet

from ..commission import embed_normals, references_of
from ..data.clip import Clip
from ..progress import Progress
from ..run import Run
from .evaluate import Evaluation, evaluate
from .scored import Domains, embed_tests, score_clips, score_embedded, with_labels


@dataclass(frozen=True)
class HeardClips:
    """A data set through one network: training normals, and test clips of the machines that have such."""

    normals: dict[Clip, EmbeddedClip]
    tests: dict[Clip, EmbeddedClip]


def hear(run: Run, pipeline: Pipeline, clips: Sequence[Clip], *, progress: Progress) -> HeardClips:
    """Embed every clip once.

    Raises:
        SourceError: a clip cannot be read.
        DataError: there is nothing to learn from or nothing to score.
    """
    clips = run.labelled(with_labels(clips))
    normals = embed_normals(pipeline, clips, held_out=set(run.held_out), channel=run.channel, progress=progress)
    units = {clip.unit for clip in normals}
    return HeardClips(normals, embed_tests(pipeline, units, clips, channel=run.channel, progress=progress))


def conditions_of(
    run: Run, pipeline: Pipeline, heard: HeardClips, backend: Backend | None = None
) -> dict[str, ConditionSet]:
    """Commission every machine and section, with the recipe's backend or another.

    Raises:
        DataError: no threshold can be found for a machine.
    """
    references = references_of(
        pipeline,
        backend or run.recipe.scorer,
        heard.normals,
        held_out=set(run.held_out),
        quantile=run.recipe.calibration.quantile,
    )
    return {f"{reference.machine}/{reference.section}": reference.conditions for reference in references}


def evaluate_run(
    run: Run, pipeline: Pipeline, clips: Sequence[Clip], *, domains: Domains = "nearest", progress: Progress
) -> Evaluation:
    """Commission every machine through `pipeline`, then score its test clips; errors as in `hear`."""
    heard = hear(run, pipeline, clips, progress=progress)
    return evaluate(score_embedded(pipeline, conditions_of(run, pipeline, heard), heard.tests, domains=domains))


def compare_backends(
    run: Run,
    pipeline: Pipeline,
    clips: Sequence[Clip],
    backends: Mapping[str, Backend],
    *,
    domains: Domains = "nearest",
    progress: Progress,
) -> dict[str, Evaluation]:
    """Evaluate a run with each of some backends, by their names; every clip is embedded once; errors as in `hear`."""
    heard = hear(run, pipeline, clips, progress=progress)
    return {
        name: evaluate(
            score_embedded(pipeline, conditions_of(run, pipeline, heard, backend), heard.tests, domains=domains)
        )
        for name, backend in backends.items()
    }


def evaluate_bundle(
    bundle: Bundle,
    clips: Sequence[Clip],
    *,
    channel: int | None = None,
    domains: Domains = "nearest",
    progress: Progress,
) -> Evaluation:
    """Score the test clips as a device with this bundle would: exported graph, factory centres and thresholds.

    Raises:
        SourceError: a clip cannot be read.
        DataError: no test clips of a machine in the bundle, or no condition of a clip's domain.
    """
    known = {
        machine.key: conditions
        for machine in bundle.machines
        if (conditions := bundle.factory_conditions(machine.machine, machine.section)) is not None
    }
    clips = with_labels(clips)
    return evaluate(score_clips(bundle.pipeline(), known, clips, channel=channel, domains=domains, progress=progress))
