"""A training run becomes a bundle: graphs in several precisions, each with centres and thresholds of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from asd_edge import __version__
from asd_edge.bundle.archive import write_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.calibration import Calibration
from asd_edge.bundle.fields import FrontEndFields, SegmentFields, WindowFields
from asd_edge.bundle.fitted import joined, shapes_of
from asd_edge.bundle.manifest import Description, GoldenFields, Provenance
from asd_edge.bundle.variants import FactoryCondition, FactoryMachine, Kind, Precision, Variant
from asd_edge.errors import DataError
from asd_edge.imprint import Imprint
from asd_train.commission import MachineReference, commission
from asd_train.data.clip import Clip
from asd_train.data.dcase import parse_dataset
from asd_train.embedder import torch_pipeline
from asd_train.progress import Progress
from asd_train.recipe import Recipe
from asd_train.run import Run

from .golden import golden_of
from .graphs import export_graphs
from .parity import check_parity
from .precision.sensitivity import Sweep
from .variants import Commission, LeftOut, Material, make_variants, refuse


def export_bundle(
    run: Run,
    clips: Sequence[Clip],
    path: Path,
    *,
    name: str,
    machine: str | None = None,
    created: datetime | None = None,
    release: int | None = None,
    precisions: Sequence[Precision] = ("fp32",),
    both_graphs: bool = True,
    left_out: Callable[[LeftOut], None] = refuse,
    planned: Callable[[Kind, Sweep], None] | None = None,
    progress: Progress,
) -> Bundle:
    """Export a run, commission every machine in `clips` with each exported graph, write the bundle.

    Args:
        run: the trained network.
        clips: the data sets' clips; training normals make the conditions, held-out ones the thresholds, and test clips,
            where there are any, say whether a precision judges as fp32 does.
        path: of the bundle; replaced only when the new one is whole and passes its own checks.
        name: what people call this model.
        machine: the only one that the bundle is for; None for all that the run hears, if the recipe treats them alike.
        created: UTC time to stamp it with, now by default.
        release: rises with every bundle that replaces another; by default the minute of `created`, YYYYMMDDhhmm.
        precisions: of every kind of graph; fp32 is always there.
        both_graphs: put the segment graph beside the stream graph that serves, to compare the two; it costs its size.
        left_out: told of each graph that fails the parity gate and is not packed; by default that is an error.
        planned: told of each int8 graph that is packed: which layers it keeps in higher precision, and why.
        progress: shows progress bars.

    Raises:
        DataError: a machine cannot be commissioned with these clips.
        EngineError: a graph cannot be exported, or the one in fp32 does not embed as the trained network does.
        SourceError: a clip cannot be read.
        BundleError: the bundle cannot be written.
    """
    clips = [clip for clip in run.labelled(clips) if machine in (None, clip.machine) and run.hears(clip.machine)]
    recipe = _recipe_for(run, {clip.machine for clip in clips})
    exported = export_graphs(run, both=both_graphs)
    mel = recipe.front_end.mel() if recipe.front_end.feature == "log_mel" else None
    pipeline = replace(torch_pipeline(run, recipe), embedder=exported.embedder(recipe.embedder), mel=mel)
    for kind in exported.kinds:
        check_parity(run.network, replace(pipeline, embedder=exported.embedder(kind)))
    golden = golden_of(run.network, exported.described, pipeline, clips, held_out=run.held_out, channel=run.channel)

    material = Material(
        pipeline, clips, run.held_out, run.channel, commissioner(run, recipe, clips, progress), progress
    )
    made = make_variants(exported, golden, material, precisions=precisions)
    for one in made.left_out:
        left_out(one)
    for kind, sweep in made.graphs.sweeps.items():
        if planned is not None:
            planned(kind, sweep)
    created = created or datetime.now(timezone.utc)
    description = Description(
        name=name,
        release=release or int(created.strftime("%Y%m%d%H%M")),
        created_utc=created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        front_end=FrontEndFields.of(recipe.front_end),
        segment=SegmentFields.of(recipe.segment),
        window=WindowFields.of(recipe.window),
        aggregation=recipe.aggregation,
        embedder=recipe.embedder,
        graphs=exported.described,
        backend=recipe.scorer,
        variants=tuple(
            Variant(kind=v.kind, precision=v.precision, parity=v.parity, machines=_machines(v.references))
            for v in made.variants
        ),
        golden=GoldenFields(segments=len(golden.features), unit=golden.unit),
        provenance=Provenance(
            recipe=recipe.name,
            recipe_sha256=recipe.sha256,
            seed=run.seed,
            data=tuple(parse_dataset(dataset)[1].resolve().name for dataset in run.datasets),
            asd_edge_version=__version__,
        ),
    )
    references = [reference for variant in made.variants for reference in variant.references]
    fitted = [imprint.condition.fitted for reference in references for imprint in reference.imprints]
    arrays = {"conditions": joined(fitted)} | ({} if mel is None else {"mel": mel})
    return write_bundle(path, description, graphs=made.graphs.members, arrays=arrays, golden=made.golden)


def commissioner(run: Run, recipe: Recipe, clips: Sequence[Clip], progress: Progress) -> Commission:
    """Return what commissions these clips' machines as a run's recipe asks, with any pipeline."""
    return partial(
        commission,
        backend=recipe.scorer,
        clips=clips,
        held_out=set(run.held_out),
        quantile=recipe.calibration.quantile,
        channel=run.channel,
        progress=progress,
    )


def _recipe_for(run: Run, machines: Collection[str]) -> Recipe:
    """Return the recipe as it is for these machines.

    Raises:
        DataError: no machine, or machines that the recipe treats differently: a bundle has one backend.
    """
    recipes = {recipe.sha256: recipe for recipe in map(run.recipe.for_machine, sorted(machines))}
    if len(recipes) != 1:
        raise DataError(
            "There is no one bundle for these machines",
            found=", ".join(sorted(machines)) or "no clips of a machine that the run was trained for",
            expected="machines that the recipe scores alike"
            + (f"; it treats {', '.join(run.recipe.machines)} differently" if run.recipe.machines else ""),
            remedy="Name one with --machine, and make a bundle for each.",
        )
    (recipe,) = recipes.values()
    return recipe


def _machines(references: Sequence[MachineReference]) -> tuple[FactoryMachine, ...]:
    return tuple(
        FactoryMachine(
            machine=reference.machine,
            section=reference.section,
            idle_floor=reference.idle_floor,
            conditions=tuple(_condition(imprint) for imprint in reference.imprints),
        )
        for reference in references
    )


def _condition(imprint: Imprint) -> FactoryCondition:
    return FactoryCondition(
        name=imprint.condition.name,
        arrays=shapes_of(imprint.condition.fitted),
        labels=imprint.labels,
        threshold=imprint.calibration.threshold,
        calibration=Calibration.of(imprint.calibration),
    )
