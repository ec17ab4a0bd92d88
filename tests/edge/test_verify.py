"""The parity gate on a device: golden segments through every graph, and what is told when one is not true."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from typer.testing import CliRunner

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.golden import deviation
from asd_edge.bundle.graphs import Graphs
from asd_edge.bundle.variants import PRECISIONS
from asd_edge.cli.app import app
from asd_edge.errors import BundleError
from asd_edge.serving.verify import LIMITS, golden_embeddings, verify
from tests.edge.tiny_bundle import GOLDEN, SEGMENT, STREAM, make_tiny_bundle, tiny_description

BOTH = Graphs(segment=SEGMENT, stream=STREAM)


def moved(name: str, share: float) -> bytes:
    """A tiny graph whose weights are off by a share of their spread."""
    model = onnx.load_from_string((GOLDEN / name).read_bytes())
    random = np.random.default_rng(3)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.ndim > 1:
            other = weights + np.float32(share * weights.std()) * random.standard_normal(weights.shape, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(other, tensor.name))
    return model.SerializeToString()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_tiny_bundle(tmp_path / "b.asd", graphs=BOTH, precisions=PRECISIONS)


def test_every_variant_of_a_whole_bundle_passes(bundle: Bundle) -> None:
    assert len(bundle.manifest.variants) == 6
    for variant in bundle.manifest.variants:
        verdict = verify(bundle.at(variant.precision, variant.kind))
        assert verdict.passed, str(verdict)
        assert (verdict.kind, verdict.precision) == (variant.kind, variant.precision)


@pytest.mark.parametrize(("kind", "name"), [("segment", "tiny_embedder.onnx"), ("stream", "tiny_stream.onnx")])
@pytest.mark.parametrize(("precision", "share", "passes"), [("fp32", 1e-4, True), ("fp32", 0.1, False)])
def test_an_engine_that_embeds_otherwise_fails(bundle, kind, name, precision, share, passes) -> None:
    """The weights of what runs are moved, as a faulty engine or another processor would move what comes out."""
    graphs = {**bundle.graphs, f"{name.split('_')[1].split('.')[0]}.fp32.onnx": moved(name, share)}
    graphs["segment.fp32.onnx"] = graphs.pop("embedder.fp32.onnx", graphs["segment.fp32.onnx"])
    seen = bundle.at(precision, kind)
    verdict = verify(seen, replace(seen, graphs=graphs).pipeline())
    assert verdict.passed == passes, str(verdict)
    assert ("FAILED" in str(verdict)) == (not passes)


def test_int8_is_held_to_what_it_was_where_it_was_exported_and_the_others_to_the_trained_network(tmp_path) -> None:
    eight_bits = moved("tiny_embedder.onnx", 0.5)
    members = {"segment.int8.onnx": eight_bits, "segment.fp16.onnx": eight_bits}
    bundle = make_tiny_bundle(tmp_path / "b.asd", graphs_bytes=members, precisions=PRECISIONS)
    assert verify(bundle.at("int8")).passed
    assert not verify(bundle.at("fp16")).passed
    assert verify(bundle.at("fp32")).passed


def test_what_is_no_number_never_passes(bundle: Bundle) -> None:
    class Broken:
        dims = 16

        def embed(self, features, spectra=None):
            return np.full((len(features), 16), np.nan, np.float32)

    verdict = verify(bundle, replace(bundle.pipeline(), embedder=Broken()))
    assert not verdict.passed
    assert verdict.to_json()["deviation"] is None


def test_the_stream_hears_its_context_and_the_segment_graph_only_the_segment(bundle: Bundle) -> None:
    golden = bundle.golden
    other = golden.features.copy()
    other[:, : STREAM.reach] = other[:, STREAM.reach : 2 * STREAM.reach, ::-1]
    for kind, hears in (("segment", False), ("stream", True)):
        pipeline = bundle.at("fp32", kind).pipeline()
        before, after = (golden_embeddings(pipeline, replace(golden, features=f)) for f in (golden.features, other))
        assert (np.abs(before - after).max() > 1e-4) == hears, kind


def test_the_command_tells_each_variant_and_ends_with_1_when_one_fails(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.asd", tmp_path / "bad.asd"
    make_tiny_bundle(good, precisions=PRECISIONS)
    make_tiny_bundle(bad, precisions=PRECISIONS, graphs_bytes={"segment.fp16.onnx": moved("tiny_embedder.onnx", 0.5)})
    fine = CliRunner().invoke(app, ["verify", "--bundle", str(good)])
    assert fine.exit_code == 0
    assert fine.output.count("ok") == 3
    wrong = CliRunner().invoke(app, ["verify", "--bundle", str(bad), "--json"])
    assert wrong.exit_code == 1
    assert [verdict["passed"] for verdict in json.loads(wrong.output)] == [True, False, True]


class TestVariants:
    def test_each_has_its_own_conditions_graphs_and_embedding_id(self, tmp_path: Path) -> None:
        numbers = np.arange(1.0, 97.0, dtype=np.float32)
        told = tiny_description(precisions=PRECISIONS)
        eight_bits = {"segment.int8.onnx": moved("tiny_embedder.onnx", 0.1)}
        bundle = make_tiny_bundle(
            tmp_path / "b.asd", precisions=PRECISIONS, graphs_bytes=eight_bits, arrays={"conditions": numbers}
        )
        assert told.shapes["conditions"] == (96,)
        seen = {precision: bundle.at(precision) for precision in PRECISIONS}
        firsts = {}
        for precision, each in seen.items():
            known = each.factory_conditions("fan", "00")
            assert known is not None
            firsts[precision] = float(known.conditions[0].fitted["references"][0, 0])
        assert firsts == {"fp32": 1.0, "fp16": 33.0, "int8": 65.0}
        assert seen["int8"].embedding_id != seen["fp32"].embedding_id
        assert seen["fp16"].embedding_id == seen["fp32"].embedding_id  # the same bytes here
        embedded = [golden_embeddings(seen[p].pipeline(), bundle.golden) for p in ("fp32", "int8")]
        assert np.abs(embedded[0] - embedded[1]).max() > 1e-3

    def test_one_that_is_not_there_is_named_with_those_that_are(self, tmp_path: Path) -> None:
        bundle = make_tiny_bundle(tmp_path / "b.asd")
        with pytest.raises(BundleError, match=r"segment/int8 asked for\n.*one of segment/fp32"):
            bundle.at("int8")

    def test_golden_segments_read_back(self, bundle: Bundle, tmp_path: Path) -> None:
        read = load_bundle(tmp_path / "b.asd").golden
        assert set(read.trained) == {"segment", "stream"}
        assert len(read.exported) == 6
        for key, embeddings in bundle.golden.exported.items():
            np.testing.assert_array_equal(read.exported[key], embeddings)
        assert read.features.shape == (2, 64 + 2 * STREAM.reach, 128)


class TestDeviation:
    @pytest.mark.parametrize("angle", [1e-3, 0.1, 1.0])
    def test_of_unit_vectors_it_is_the_cosine_distance(self, angle: float) -> None:
        a, b = np.zeros((2, 1, 8), np.float32)
        a[0, 0], b[0, :2] = 1.0, (np.cos(angle), np.sin(angle))
        assert deviation(b, a, unit=8) == pytest.approx(1.0 - np.cos(angle), rel=1e-3)

    def test_a_vector_that_should_be_of_unit_length_and_is_not_deviates(self) -> None:
        expected = np.eye(4, dtype=np.float32)
        assert deviation(expected * np.float32(1.1), expected, unit=4) == pytest.approx(0.5 * 0.1**2, rel=1e-3)

    def test_of_other_numbers_it_is_half_the_square_of_their_error_as_a_share_of_their_size(self) -> None:
        expected = np.asarray([[100.0, -1e-3], [-50.0, 5e-4]], np.float32)
        assert deviation(expected * np.float32(1.01), expected, unit=0) == pytest.approx(0.5 * 0.01**2, rel=1e-2)

    def test_the_worst_segment_and_the_worst_part_count(self) -> None:
        random = np.random.default_rng(0)
        expected = random.standard_normal((3, 8)).astype(np.float32)
        expected[:, :4] /= np.linalg.norm(expected[:, :4], axis=1, keepdims=True)
        found = expected.copy()
        found[1, :4] *= -1.0
        assert deviation(found, expected, unit=4) == pytest.approx(2.0)
        found = expected.copy()
        found[2, 5] += np.abs(expected[:, 5]).max()
        assert deviation(found, expected, unit=4) == pytest.approx(0.5 / 4)

    def test_fp32_is_held_to_1e_5_and_fp16_to_1e_3(self) -> None:
        assert LIMITS["fp32"] == 1e-5
        assert LIMITS["fp16"] == 1e-3
