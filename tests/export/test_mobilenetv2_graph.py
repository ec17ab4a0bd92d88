"""MobileNetV2 as a graph: the pinned operator set, and the embeddings of the trained network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from asd_edge.engines.onnx import OnnxEmbedder
from asd_export.graph import INPUT, OPSET, OUTPUT, ExportedGraph, export_graph
from asd_train.networks.mobilenetv2 import MobileNetV2


@pytest.fixture(scope="module")
def network() -> MobileNetV2:
    torch.manual_seed(3)
    network = MobileNetV2(width=0.5)
    network.standardise.fit(torch.full((128,), -40.0), torch.full((128,), 12.0))
    network.train()
    with torch.no_grad():
        for _ in range(20):  # batch norms with statistics of their own, or a wrong folding would not show
            network(torch.randn(8, 64, 128) * 12 - 40)
        # Fresh weights put all segments all but in one place; without what they have in common an error shows.
        network.eval()
        common = network.trunk(torch.randn(32, 1, 64, 128)).mean(dim=(0, 2, 3))
        network.embedding.bias.copy_(-network.embedding.weight @ common)
    return network


@pytest.fixture(scope="module")
def exported(network: MobileNetV2) -> ExportedGraph:
    return export_graph(network, frames=64, bands=128, dims=128)


def test_operator_set_is_pinned(exported: ExportedGraph) -> None:
    model = onnx.load_from_string(exported.graph)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET}
    assert OPSET == 18
    assert (exported.input_shape, exported.output_shape) == ((-1, 64, 128), (-1, 128))


def cosine_distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return np.asarray(1 - (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


@pytest.mark.parametrize("batch", [1, 2, 5, 33])
def test_embeddings_equal_the_trained_networks_for_any_batch(
    network: MobileNetV2, exported: ExportedGraph, batch: int
) -> None:
    engine = OnnxEmbedder(exported.graph, input_name=INPUT, output_name=OUTPUT)
    features = np.random.default_rng(batch).normal(-40, 15, (batch, 64, 128)).astype(np.float32)
    with torch.no_grad():
        trained = network(torch.from_numpy(features)).numpy()
    got = engine.embed(features)
    assert got.shape == (batch, 128)
    assert cosine_distance(got, trained).max() <= 1e-5
    assert engine.dims == 128
    if batch > 1:
        assert cosine_distance(got, np.roll(trained, 1, axis=0)).min() > 1e-2  # segments lie apart
