"""The parity gate where a bundle is made: what passes is packed, what does not is left out with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.variants import PRECISIONS
from asd_edge.errors import DataError, EngineError
from asd_edge.serving.verify import verify
from asd_export.accept import accept, packed, refusal, table
from asd_export.bundle import export_bundle
from asd_export.cli.app import app
from asd_export.parity import STORAGE_ONLY
from asd_export.scores import Compared, compare_scores
from asd_export.variants import LeftOut, refuse
from asd_train.data.clip import Clip
from asd_train.data.dcase import read_datasets
from asd_train.evaluation.scored import ScoredClip
from asd_train.networks.tf_resnet import TFResNet
from asd_train.progress import Progress
from asd_train.run import Run
from asd_train.training.fit import fit
from tests.train.every_recipe import two_sections
from tests.train.tiny_recipe import tiny_recipe

SILENT = Progress(enabled=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    folder = tmp_path_factory.mktemp("accept") / "data"
    two_sections(folder)
    return read_datasets([str(folder)])


@pytest.fixture(scope="module")
def run(clips: list[Clip]) -> Run:
    return fit(tiny_recipe(epochs=2), clips, datasets=[], seed=0, progress=SILENT)


@pytest.fixture(scope="module")
def bundle(run: Run, clips: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("accept") / "all.asd"
    left_out: list[LeftOut] = []
    made = export_bundle(run, clips, path, name="all", precisions=PRECISIONS, left_out=left_out.append, progress=SILENT)
    assert [(one.kind, one.precision, one.why) for one in left_out] == []
    return made


class TestABundleOfAllVariants:
    def test_each_has_conditions_of_its_own_and_passes_on_a_device(self, bundle: Bundle) -> None:
        assert [(v.kind, v.precision) for v in bundle.manifest.variants] == [
            (kind, precision) for kind in ("segment", "stream") for precision in PRECISIONS
        ]
        thresholds = {v.machines[0].conditions[0].threshold for v in bundle.manifest.variants}
        assert len(thresholds) == 6
        for variant in bundle.manifest.variants:
            assert verify(bundle.at(variant.precision, variant.kind)).passed

    def test_it_says_how_true_and_how_fast_each_is(self, bundle: Bundle) -> None:
        for variant in bundle.manifest.variants:
            parity = variant.parity
            if variant.precision == "fp32":
                assert parity.deviation <= 1e-5
                assert parity.correlation is None
                continue
            assert parity.clips == 0  # four clips a machine and section tell too little
            assert parity.deviation <= {"fp16": 1e-3, "int8": 0.02}[variant.precision]
            assert parity.speed is not None
            assert (parity.note is not None) == (variant.precision == "int8" and parity.speed < 1.5)
        sizes = {p: sum(len(bundle.graphs[f"{part}.{p}.onnx"]) for part in ("stream", "head")) for p in PRECISIONS}
        assert sizes["fp16"] < 0.65 * sizes["fp32"]  # at a quarter of the width names and shapes weigh much
        assert sizes["int8"] < 0.5 * sizes["fp32"]

    def test_accept_finds_the_same_again(self, bundle: Bundle, clips: list[Clip]) -> None:
        again = {(one.kind, one.precision): one for one in accept(bundle, clips, progress=SILENT)}
        for one in packed(bundle):
            found = again[one.kind, one.precision]
            assert found.why is None
            assert found.parity.deviation == pytest.approx(one.parity.deviation, rel=1e-3, abs=1e-12)
        without = accept(bundle, [], progress=SILENT)
        assert all(one.parity.correlation is None and one.why is None for one in without)
        assert [line.split()[0] for line in table(without).splitlines()[1:]] == [
            f"{one.kind}/{one.precision}" for one in without
        ]

    def test_accept_refuses_a_graph_that_is_not_the_one_that_was_judged(self, bundle: Bundle) -> None:
        swapped = {**bundle.graphs, "stream.int8.onnx": bundle.graphs["stream.fp32.onnx"]}
        wrong = {**bundle.graphs, "head.fp16.onnx": bundle.graphs["head.int8.onnx"]}
        for graphs, variant in ((swapped, ("stream", "int8")), (wrong, ("stream", "fp16"))):
            found = {
                (one.kind, one.precision): one.why
                for one in accept(replace(bundle, graphs=graphs), [], progress=SILENT)
            }
            assert [key for key, why in found.items() if why] in ([variant], []), found


def test_a_graph_that_half_precision_cannot_hold_stores_it_only_and_says_so(
    run: Run, clips: list[Clip], tmp_path: Path
) -> None:
    """The first stage's numbers are made 2¹⁴ times as large, and the layer behind takes that back: exactly, in fp32."""
    assert isinstance(run.network, TFResNet)
    state = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    enlarge(run.network, 2.0**14)
    try:
        made = export_bundle(
            run, clips, tmp_path / "b.asd", name="b", precisions=("fp16",), both_graphs=False, progress=SILENT
        )
    finally:
        run.network.load_state_dict(state)
    half = made.manifest.variant("stream", "fp16")
    assert half is not None
    assert half.parity.note == STORAGE_ONLY
    assert half.parity.deviation <= 1e-3


def test_a_graph_that_is_not_true_is_left_out_with_its_layers(
    run: Run, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate's own limits are moved: what passes otherwise is refused, and nothing is written where nobody asked."""
    monkeypatch.setattr("asd_export.accept.INT8_DEVIATION", 1e-12)
    left_out: list[LeftOut] = []
    path = tmp_path / "b.asd"
    export = partial(export_bundle, run, clips, path, name="b", precisions=("int8",), both_graphs=False)
    made = export(left_out=left_out.append, progress=SILENT)
    assert [(v.kind, v.precision) for v in made.manifest.variants] == [("stream", "fp32")]
    (one,) = left_out
    assert (one.kind, one.precision) == ("stream", "int8")
    assert "a deviation from the trained network" in one.why
    assert "layers.12.cached.convolution.weight" in one.layers
    with pytest.raises(EngineError, match=r"stream/int8 is not as good(.|\n)*layers.12(.|\n)*quantise-aware"):
        refuse(one)  # what happens where nobody asks to be told


def enlarge(network: TFResNet, factor: float) -> None:
    first, *blocks, transition = network.trunk[:4]
    with torch.no_grad():
        for norm in (first[1], *(block.norm2 for block in blocks)):
            norm.weight.mul_(factor)
            norm.bias.mul_(factor)
        for convolution in (*(block.conv1 for block in blocks), transition[0]):
            convolution.weight.div_(factor)


def scored(clip: Clip, score: float) -> ScoredClip:
    return ScoredClip(clip, score, 0)


def many(units: Sequence[str], *, normals: int, anomalies: int, seed: int = 0) -> list[ScoredClip]:
    """Scores of some machines and sections: anomalies lie higher, not all of them."""
    random = np.random.default_rng(seed)
    found = []
    for unit in units:
        machine, section = unit.split("/")
        for i in range(normals + anomalies):
            anomalous = i >= normals
            clip = Clip(Path(f"{unit}-{i}.wav"), machine, section, "source", "test", anomalous, "")
            found.append(scored(clip, float(anomalous) + random.random() * 1.5))
    return found


UNITS = ["fan/00", "pump/00", "valve/00"]


class TestScores:
    def test_the_same_scores_are_the_same(self) -> None:
        fp32 = many(UNITS, normals=8, anomalies=6)
        same = compare_scores(fp32, fp32, UNITS)
        assert same.correlation == pytest.approx(1.0)
        assert same.auc_drop == pytest.approx(0.0)
        assert (same.clips, same.unjudged) == (42, ())

    def test_the_worst_machine_is_named(self) -> None:
        fp32 = many(UNITS, normals=8, anomalies=6)
        other = [replace(each, score=-each.score) if each.clip.machine == "pump" else each for each in fp32]
        turned = compare_scores(fp32, other, UNITS)
        assert turned.worst == "pump/00"
        assert turned.correlation == pytest.approx(-1.0)
        assert turned.auc_drop is not None
        assert turned.auc_drop > 10.0

    def test_a_machine_of_few_clips_is_not_judged(self) -> None:
        fp32 = [*many(UNITS[:2], normals=8, anomalies=6), *many(UNITS[2:], normals=2, anomalies=2)]
        other = [replace(each, score=-each.score) if each.clip.machine == "valve" else each for each in fp32]
        found = compare_scores(fp32, other, UNITS)
        assert found.correlation == pytest.approx(1.0)
        assert (found.clips, found.unjudged) == (28, ("valve/00",))
        assert compare_scores(fp32[-4:], other[-4:], UNITS) == Compared(unjudged=tuple(UNITS))

    def test_normals_alone_tell_nothing_of_the_auc(self) -> None:
        fp32 = many(UNITS, normals=12, anomalies=0)
        assert compare_scores(fp32, fp32, UNITS).auc_drop is None

    def test_scores_that_are_no_numbers_compare_as_the_worst(self) -> None:
        fp32 = many(UNITS, normals=8, anomalies=6)
        other = [replace(fp32[0], score=float("nan")), *fp32[1:]]
        found = compare_scores(fp32, other, UNITS)
        assert (found.correlation, found.worst) == (-1.0, "fan/00")
        assert found.auc_drop == pytest.approx(100.0 / 3)

    def test_the_resolution_is_what_two_clips_cost_that_change_places(self) -> None:
        """By hand: three machines of 5 normals and 5 anomalies, told apart but for one pair in one machine."""
        fp32 = [replace(each, score=float(each.clip.anomalous)) for each in many(UNITS, normals=5, anomalies=5)]
        other = list(fp32)
        other[4], other[5] = (
            replace(fp32[4], score=0.7),
            replace(fp32[5], score=0.6),
        )  # the last normal, the first anomaly
        found = compare_scores(fp32, other, UNITS)
        assert found.resolution == pytest.approx(100.0 / 25 / 3)
        assert found.auc_drop == pytest.approx(found.resolution)


GOOD = Compared(correlation=1.0, auc_drop=0.0, clips=90, worst="fan/00")


@pytest.mark.parametrize(
    ("precision", "deviation", "compared", "refused"),
    [
        ("fp32", 1e-5, Compared(), None),
        ("fp32", 1.1e-5, Compared(), "deviation"),
        ("fp16", 1e-3, Compared(), None),
        ("fp16", 1.1e-3, GOOD, "deviation"),
        ("fp16", 1e-4, replace(GOOD, correlation=0.3), "correlate"),
        ("fp16", 1e-4, replace(GOOD, auc_drop=40.0), "AUC"),
        ("int8", 0.02, Compared(), None),
        ("int8", 0.021, Compared(), "fewer than 10 clips of any machine"),
        ("int8", 0.09, GOOD, None),
        ("int8", 0.09, replace(GOOD, unjudged=("pump/00",)), "fewer than 10 clips of pump/00"),
        ("int8", 0.11, GOOD, "deviation"),
        ("int8", 0.0, replace(GOOD, correlation=0.99, auc_drop=1.0), None),
        ("int8", 0.0, replace(GOOD, correlation=0.989), "fan/00 correlate"),
        ("int8", 0.0, replace(GOOD, auc_drop=1.1), "AUC"),
        ("int8", 0.0, replace(GOOD, auc_drop=1.1, resolution=1.2), None),
        ("int8", 0.0, replace(GOOD, auc_drop=None), None),
    ],
)
def test_the_limits_of_the_gate(precision, deviation, compared, refused) -> None:
    why = refusal(precision, deviation, compared)
    assert (why is None) == (refused is None), why
    assert refused is None or (why is not None and refused in why)


def test_clips_that_the_bundle_does_not_know_are_an_error_and_no_approval(bundle: Bundle, clips: list[Clip]) -> None:
    strangers = [replace(clip, machine="press") for clip in clips]
    with pytest.raises(DataError, match=r"clips of press/00, press/01\n.*test clips of fan/00"):
        accept(bundle, strangers, progress=SILENT)


def test_the_command_says_what_it_judged_by_what_and_ends_with_a_verdict() -> None:
    told = CliRunner().invoke(app, ["accept", "default"])
    first, *_, none, verdict = told.output.splitlines()
    assert first.startswith("default: default, release ")
    assert none.startswith("No clip was scored")
    assert (told.exit_code, verdict) == (0, "ACCEPTED")
