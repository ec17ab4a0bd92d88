"""The parity gate where a bundle is made: what passes is packed, what does not is left out with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.variants import PRECISIONS, Parity
from asd_edge.errors import EngineError
from asd_edge.serving.verify import verify
from asd_export.accept import accept, compare_scores, packed, refusal, table
from asd_export.bundle import export_bundle
from asd_export.variants import LeftOut
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

    def test_it_says_how_true_and_how_fast_each_is(self, bundle: Bundle, clips: list[Clip]) -> None:
        tests = sum(clip.split == "test" for clip in clips)
        for variant in bundle.manifest.variants:
            parity = variant.parity
            if variant.precision == "fp32":
                assert parity.deviation <= 1e-5
                assert parity.correlation is None
                continue
            assert parity.clips == tests
            assert parity.correlation is not None
            assert parity.correlation >= 0.99
            assert parity.speed is not None
            assert (parity.note is not None) == (parity.speed <= 1.0)
        sizes = {p: sum(len(bundle.graphs[f"{part}.{p}.onnx"]) for part in ("stream", "head")) for p in PRECISIONS}
        assert sizes["fp16"] < 0.65 * sizes["fp32"]  # at a quarter of the width names and shapes weigh much
        assert sizes["int8"] < 0.5 * sizes["fp32"]

    def test_accept_finds_the_same_again_and_scores_what_it_is_given(self, bundle: Bundle, clips: list[Clip]) -> None:
        again = {(one.kind, one.precision): one for one in accept(bundle, clips, progress=SILENT)}
        for one in packed(bundle):
            found = again[one.kind, one.precision]
            assert found.why is None
            assert found.parity.correlation == pytest.approx(one.parity.correlation, abs=1e-6)
        without = accept(bundle, [], progress=SILENT)
        assert all(one.parity.correlation is None and one.why is None for one in without)
        assert table(without).count("ok") == 6

    def test_accept_refuses_a_graph_that_is_not_the_one_that_was_judged(self, bundle: Bundle) -> None:
        swapped = {**bundle.graphs, "stream.int8.onnx": bundle.graphs["stream.fp32.onnx"]}
        wrong = {**bundle.graphs, "head.fp16.onnx": bundle.graphs["head.int8.onnx"]}
        for graphs, variant in ((swapped, ("stream", "int8")), (wrong, ("stream", "fp16"))):
            found = {
                (one.kind, one.precision): one.why
                for one in accept(replace(bundle, graphs=graphs), [], progress=SILENT)
            }
            assert [key for key, why in found.items() if why] in ([variant], []), found


def test_a_graph_that_half_precision_cannot_hold_is_left_out_with_its_layers(
    run: Run, clips: list[Clip], tmp_path: Path
) -> None:
    """The first stage's numbers are made 2²⁰ times as large, and the layer behind takes that back: exactly, in fp32."""
    assert isinstance(run.network, TFResNet)
    state = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    enlarge(run.network, 2.0**20)
    try:
        left_out: list[LeftOut] = []
        made = export_bundle(
            run,
            clips,
            tmp_path / "b.asd",
            name="b",
            precisions=("fp32", "fp16"),
            both_graphs=False,
            left_out=left_out.append,
            progress=SILENT,
        )
        assert [(v.kind, v.precision) for v in made.manifest.variants] == [("stream", "fp32")]
        (one,) = left_out
        assert (one.kind, one.precision) == ("stream", "fp16")
        assert "deviation" in one.why
        assert "<- jump" in one.layers
        with pytest.raises(EngineError, match="stream/fp16 is not as good"):
            export_bundle(
                run, clips, tmp_path / "c.asd", name="c", precisions=("fp16",), both_graphs=False, progress=SILENT
            )
        assert not (tmp_path / "c.asd").exists()
    finally:
        run.network.load_state_dict(state)


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


def test_scores_are_compared_by_machine_and_the_worst_one_is_named(clips: list[Clip]) -> None:
    tests = [clip for clip in clips if clip.split == "test"]
    random = np.random.default_rng(0)
    fp32 = [scored(clip, float(clip.anomalous or 0) + random.random()) for clip in tests]
    same = compare_scores(fp32, fp32)
    assert same.correlation == pytest.approx(1.0)
    assert same.auc_drop == pytest.approx(0.0)
    bad = tests[0].unit
    other = [replace(each, score=-each.score) if each.clip.unit == bad else each for each in fp32]
    turned = compare_scores(fp32, other)
    assert turned.worst == bad
    assert turned.correlation == pytest.approx(-1.0)
    assert turned.auc_drop is not None
    assert turned.auc_drop > 10.0
    normals = [each for each in fp32 if not each.clip.anomalous]
    assert compare_scores(normals, normals).auc_drop is None


@pytest.mark.parametrize(
    ("precision", "parity", "refused"),
    [
        ("fp32", Parity(deviation=1e-5), False),
        ("fp32", Parity(deviation=1.1e-5), True),
        ("fp16", Parity(deviation=1e-3), False),
        ("fp16", Parity(deviation=1.1e-3, correlation=1.0, auc_drop=0.0, clips=9), True),
        ("int8", Parity(deviation=0.02), False),
        ("int8", Parity(deviation=0.021), True),
        ("int8", Parity(deviation=0.1, correlation=0.99, auc_drop=1.0, clips=9), False),
        ("int8", Parity(deviation=0.0, correlation=0.989, auc_drop=-1.0, clips=9), True),
        ("int8", Parity(deviation=0.0, correlation=1.0, auc_drop=1.1, clips=9), True),
        ("int8", Parity(deviation=0.1, correlation=1.0, clips=9), False),
    ],
)
def test_the_limits_of_the_gate(precision, parity, refused) -> None:
    assert (refusal(precision, parity) is not None) == refused
