"""A training run becomes a bundle: exported graph, centres and thresholds computed with that graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge import __version__
from asd_edge.bundle.archive import Bundle, write_bundle
from asd_edge.bundle.calibration import Calibration
from asd_edge.bundle.manifest import (
    Description,
    FactoryCondition,
    FactoryMachine,
    FrontEndFields,
    Provenance,
    Scorer,
    SegmentFields,
    WindowFields,
)
from asd_edge.imprint import Imprint
from asd_train.commission import MachineReference, commission
from asd_train.data.clip import Clip
from asd_train.data.dcase import parse_dataset
from asd_train.embedder import torch_pipeline
from asd_train.progress import Progress
from asd_train.run import Run

from .graphs import export_graphs
from .parity import check_parity


def export_bundle(
    run: Run,
    clips: Sequence[Clip],
    path: Path,
    *,
    name: str,
    created: datetime | None = None,
    both_graphs: bool = True,
    progress: Progress,
) -> Bundle:
    """Export a run, commission every machine in `clips` with the exported graph, write the bundle.

    Args:
        run: the trained network.
        clips: the data sets' clips; training normals make the centres, held-out ones the thresholds.
        path: of the bundle; replaced only when the new one is whole and passes its own checks.
        name: what people call this model.
        created: UTC time to stamp it with, now by default.
        both_graphs: put the segment graph beside the stream graph that serves, to compare the two; it costs its size.
        progress: shows progress bars.

    Raises:
        DataError: a machine cannot be commissioned with these clips.
        EngineError: the graph cannot be exported, or does not embed as the trained network does.
        SourceError: a clip cannot be read.
        BundleError: the bundle cannot be written.
    """
    recipe = run.recipe
    trained = torch_pipeline(run)
    exported = export_graphs(run, both=both_graphs)
    mel = recipe.front_end.mel()
    pipeline = replace(trained, embedder=exported.embedder(recipe.embedder), mel=mel)
    for kind in exported.kinds:
        check_parity(run, replace(pipeline, embedder=exported.embedder(kind)))
    references = commission(
        pipeline,
        clips,
        held_out=set(run.held_out),
        quantile=recipe.calibration.quantile,
        channel=run.channel,
        progress=progress,
    )
    arrays = {"mel": mel, "centres": _centres(references)}
    description = Description(
        name=name,
        created_utc=(created or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        front_end=FrontEndFields.of(recipe.front_end),
        segment=SegmentFields.of(recipe.segment),
        window=WindowFields.of(recipe.window),
        aggregation=recipe.aggregation,
        embedder=recipe.embedder,
        graphs=exported.described,
        scorer=Scorer(kind="nearest_centre", distance="cosine"),
        machines=_machines(references),
        provenance=Provenance(
            recipe=recipe.name,
            recipe_sha256=recipe.sha256,
            seed=run.seed,
            data=tuple(parse_dataset(dataset)[1].resolve().name for dataset in run.datasets),
            asd_edge_version=__version__,
        ),
    )
    return write_bundle(path, description, graphs=exported.members, arrays=arrays)


def _centres(references: Sequence[MachineReference]) -> NDArray[np.float32]:
    return np.concatenate([i.condition.centres for reference in references for i in reference.imprints])


def _machines(references: Sequence[MachineReference]) -> tuple[FactoryMachine, ...]:
    machines = []
    row = 0
    for reference in references:
        conditions = []
        for imprint in reference.imprints:
            conditions.append(_condition(imprint, row))
            row += len(imprint.labels)
        machines.append(
            FactoryMachine(
                machine=reference.machine,
                section=reference.section,
                idle_floor=reference.idle_floor,
                conditions=tuple(conditions),
            )
        )
    return tuple(machines)


def _condition(imprint: Imprint, first: int) -> FactoryCondition:
    calibration = imprint.calibration
    return FactoryCondition(
        name=imprint.condition.name,
        centres=(first, first + len(imprint.labels)),
        labels=imprint.labels,
        threshold=calibration.threshold,
        calibration=Calibration.of(calibration),
    )
