"""Graphs in half precision on sounds that no machine makes: computed in it where that stays true, else only stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.golden import deviation
from asd_edge.engines.embedder import Embedder, StreamEmbedder
from asd_edge.pipeline import SegmentStream
from asd_export.graphs import ExportedGraphs
from asd_export.parity import STORAGE_ONLY, true_on_sounds
from asd_export.precision.half import halved

PARTS = ("stream", "head")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The default network: attention pooling, which takes the rounding of a steady tone for its variance."""
    return load_bundle("default")


def with_halves(bundle: Bundle, *, weights_only: bool) -> ExportedGraphs:
    halves = {
        f"{part}.fp16.onnx": halved(bundle.graphs[f"{part}.fp32.onnx"], weights_only=weights_only) for part in PARTS
    }
    return ExportedGraphs(bundle.manifest.graphs, {**bundle.graphs, **halves})


def tone_apart(bundle: Bundle, graphs: ExportedGraphs) -> float:
    """How far fp16, rounded, is from fp32 on a steady tone."""
    seconds = np.arange(60_000) / 16_000
    tone = (0.3 * np.sin(2.0 * np.pi * 440.0 * seconds)).astype(np.float32)

    def heard(embedder: Embedder | StreamEmbedder) -> np.ndarray:
        return SegmentStream(replace(bundle.pipeline(), embedder=embedder)).push(tone).embeddings

    found, expected = heard(graphs.judged("stream", "fp16")), heard(graphs.embedder("stream"))
    return deviation(found, expected, unit=bundle.golden.unit)


def test_a_steady_tone_is_what_half_precision_cannot_hear_and_storage_can(bundle: Bundle) -> None:
    assert tone_apart(bundle, with_halves(bundle, weights_only=False)) > 1e-3
    assert tone_apart(bundle, with_halves(bundle, weights_only=True)) <= 1e-5  # measured: 6e-8


def test_half_precision_that_is_not_true_is_for_storage_only(bundle: Bundle) -> None:
    computed = with_halves(bundle, weights_only=False)
    wrong = onnx.load_from_string(computed.members["stream.fp16.onnx"])
    for tensor in wrong.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16 and len(tensor.dims) == 4:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:, ::-1], tensor.name))
    computed = replace(computed, members={**computed.members, "stream.fp16.onnx": wrong.SerializeToString()})
    kept, note = true_on_sounds(computed, "stream", bundle.pipeline(), unit=bundle.golden.unit)
    assert note == STORAGE_ONLY
    for part in PARTS:
        model = onnx.load_from_string(kept.members[f"{part}.fp16.onnx"])
        assert TensorProto.FLOAT16 in {tensor.data_type for tensor in model.graph.initializer}
        assert len(kept.members[f"{part}.fp16.onnx"]) < 0.53 * len(bundle.graphs[f"{part}.fp32.onnx"])
    assert kept.members["stream.fp16.onnx"] == with_halves(bundle, weights_only=True).members["stream.fp16.onnx"]
    others = {name: graph for name, graph in computed.members.items() if ".fp16." not in name}
    assert others.items() <= kept.members.items()


def test_what_stays_true_is_kept(bundle: Bundle) -> None:
    graphs = with_halves(bundle, weights_only=False)
    kept, note = true_on_sounds(graphs, "stream", bundle.pipeline(), unit=bundle.golden.unit)
    assert note is None
    assert kept is graphs
