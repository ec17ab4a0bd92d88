"""The exported graph: pinned, self-contained, and equal to the trained network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from asd_edge.engines.onnx import OnnxEmbedder
from asd_edge.errors import EngineError
from asd_export.graph import INPUT, OPSET, OUTPUT, ExportedGraph, export_graph
from asd_train.networks.tf_resnet import TFResNet


@pytest.fixture(scope="module")
def network() -> TFResNet:
    torch.manual_seed(3)
    network = TFResNet(width=0.25)
    network.standardise.fit(torch.full((128,), -40.0), torch.full((128,), 12.0))
    network.train()
    for _ in range(3):  # batch norms with statistics of their own, or a wrong folding would not show
        network(torch.randn(8, 64, 128) * 12 - 40)
    return network.eval()


@pytest.fixture(scope="module")
def exported(network: TFResNet) -> ExportedGraph:
    return export_graph(network, frames=64, bands=128, dims=128)


def test_operator_set_is_pinned_and_nothing_lies_outside(exported: ExportedGraph) -> None:
    model = onnx.load_from_string(exported.graph)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET}
    assert OPSET <= 18
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    assert all(t.data_location != onnx.TensorProto.EXTERNAL for t in model.graph.initializer)


def test_no_path_of_the_exporting_machine_is_in_the_file(exported: ExportedGraph) -> None:
    assert b"/site-packages/" not in exported.graph
    assert b".py" not in exported.graph


@pytest.mark.parametrize("batch", [1, 2, 5, 33])
def test_embeddings_equal_the_trained_networks_for_any_batch(
    network: TFResNet, exported: ExportedGraph, batch: int
) -> None:
    engine = OnnxEmbedder(exported.graph, input_name=INPUT, output_name=OUTPUT)
    features = np.random.default_rng(batch).normal(-40, 15, (batch, 64, 128)).astype(np.float32)
    with torch.no_grad():
        trained = network(torch.from_numpy(features)).numpy().astype(np.float64)
    got = engine.embed(features).astype(np.float64)
    distance = 1 - (trained * got).sum(axis=1) / np.linalg.norm(trained, axis=1) / np.linalg.norm(got, axis=1)
    assert distance.max() <= 1e-5
    assert engine.dims == 128


def test_no_segments_give_no_embeddings(exported: ExportedGraph) -> None:
    engine = OnnxEmbedder(exported.graph, input_name=INPUT, output_name=OUTPUT)
    assert engine.embed(np.empty((0, 64, 128), dtype=np.float32)).shape == (0, 128)


def test_a_graph_that_is_not_one_and_wrong_names_are_refused(exported: ExportedGraph) -> None:
    with pytest.raises(EngineError, match="cannot load"):
        OnnxEmbedder(b"not a graph", input_name=INPUT, output_name=OUTPUT)
    with pytest.raises(EngineError, match="tensors its manifest names"):
        OnnxEmbedder(exported.graph, input_name="sound", output_name=OUTPUT)
