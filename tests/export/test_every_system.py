"""Every system from training to the device, where it judges sound as its network does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.variants import PRECISIONS, Precision
from asd_edge.detector import Detector
from asd_edge.events import WindowScore
from asd_edge.pipeline import SegmentStreams
from asd_edge.scoring.decision import DecisionSpec
from asd_edge.serving.verify import verify
from asd_edge.sources.block import Block
from asd_edge.sources.file import read_clip
from asd_export import variants
from asd_export.bundle import export_bundle
from asd_export.variants import LeftOut
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.evaluation.scored import score_clips
from asd_train.evaluation.system import score_system
from asd_train.progress import Progress
from asd_train.recipe import Recipe
from asd_train.training.fit import fit
from tests.export.buildable import assert_all_build
from tests.train.every_recipe import small, two_sections

SILENT = Progress(enabled=False)
SYSTEMS = [
    "asd_edge",
    "asd_edge:spectrum",
    "dcase_ae",
    "dcase_ae:mahalanobis",
    "dcase_ae:mahalanobis_of_mean",
    "dcase_mobilenetv2",
    "oe_flow_2023",
    "oe_flow_2023:oe_flow",
    "oe_flow_2023:serial_oe_dflow",
    "subcluster_adacos_2021",
    "two_branch_2023",
]
"""Every kind of graph output and backend; tf_resnet and mobilenetv2_embed have tests of their own."""
IN_EVERY_PRECISION = ("dcase_ae", "oe_flow_2023", "two_branch_2023")
"""An autoencoder, a flow, and a network that hears a spectrum beside the frames."""
MEMBERS = {"subcluster_adacos_2021": 2}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("systems") / "data"
    two_sections(folder)
    return read_datasets([str(folder)])


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_reaches_the_device_and_judges_there_as_it_did_in_training(
    name: str, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "_SPEED_S", 0.05)  # how fast a precision is does not matter here
    recipe = small(name, epochs=4 if name == "dcase_mobilenetv2" else 1)
    recipe = Recipe.model_validate(recipe.model_dump(mode="json") | {"members": MEMBERS.get(name, 1)})
    machine = "valve" if recipe.scope == "machine" or recipe.machines else None
    run = fit(
        recipe, clips, datasets=[], seed=0, machine=machine if recipe.scope == "machine" else None, progress=SILENT
    )
    own = [clip for clip in clips if machine in (None, clip.machine)]
    trained = score_system([run], own, progress=SILENT)

    path = tmp_path / "system.asd"
    precisions: Sequence[Precision] = PRECISIONS if name in IN_EVERY_PRECISION else ("fp32",)
    left_out: list[LeftOut] = []
    export_bundle(
        run,
        own,
        path,
        name="system",
        machine=machine,
        precisions=precisions,
        left_out=left_out.append,
        progress=SILENT,
    )
    bundle = load_bundle(str(path))
    packed = {variant.precision for variant in bundle.manifest.variants}
    assert packed.isdisjoint(one.precision for one in left_out)
    assert packed.union(one.precision for one in left_out) == set(precisions)
    assert all(one.why and "segment:" in one.layers for one in left_out)
    assert all(verify(bundle.at(precision)).passed for precision in packed)
    known = {m.key: bundle.factory_conditions(m.machine, m.section) for m in bundle.machines}
    pipeline = bundle.pipeline()
    conditions = {unit: each for unit, each in known.items() if each is not None}
    shipped = score_clips(pipeline, conditions, own, channel=None, progress=SILENT)
    assert [item.clip for item in shipped] == [item.clip for item in trained]
    # The graph adds up in another order, which the whitening of few clips stretches.
    ours, theirs = ([item.score for item in scored] for scored in (shipped, trained))
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4)
    assert np.ptp(ours) > 0.0

    heard = shipped[0].clip
    detector = Detector(heard.machine, SegmentStreams(pipeline), conditions[heard.unit], DecisionSpec())
    block = Block(read_clip(heard.path, rate=detector.rate), start=0, time=0.0)
    scores = [event.score for event in [*detector.process(block), *detector.flush()] if isinstance(event, WindowScore)]
    assert scores
    assert all(score is None or np.isfinite(score) for score in scores)
    assert_all_build(bundle)
