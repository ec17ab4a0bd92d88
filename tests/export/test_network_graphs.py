"""Every network as a graph: standard operators of the pinned set, and the numbers of the trained network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from asd_edge.engines.onnx import OnnxEmbedder
from asd_export.graph import INPUT, OPSET, OUTPUT, export_graph
from asd_train.networks.dense_autoencoder import DenseAutoencoder
from asd_train.networks.mobilenetv2_classifier import MobileNetV2Classifier
from asd_train.networks.network import EmbeddingNetwork
from asd_train.networks.resnet18_flow import ResNet18Flow
from asd_train.networks.tf_resnet import TFResNet

BANDS = 32


def shallow_classifier() -> MobileNetV2Classifier:
    """The classifier behind one convolution: that its trunk makes a graph is tested with the embedder's."""
    network = MobileNetV2Classifier(bands=BANDS, classes=3)
    network.trunk = nn.Sequential(nn.Conv2d(1, 1280, 3, stride=2), nn.BatchNorm2d(1280), nn.ReLU6())
    return network


NETWORKS: dict[str, Callable[[], EmbeddingNetwork]] = {
    "autoencoder, error": lambda: DenseAutoencoder(bands=BANDS),
    "autoencoder, moments": lambda: DenseAutoencoder(bands=BANDS, statistics="moments"),
    "section classifier": shallow_classifier,
    "flow": lambda: ResNet18Flow(frames=40, bands=BANDS, width=1 / 16, steps=2, latent="domain_invariant"),
    "maximum pooling": lambda: TFResNet(bands=BANDS, width=1 / 16, pooling="max"),
}


def as_trained(network: EmbeddingNetwork) -> EmbeddingNetwork:
    """Give batch norms statistics of their own, and a flow weights: a wrong folding would not show else."""
    network.standardise.fit(torch.full((BANDS,), -40.0), torch.full((BANDS,), 12.0))
    if isinstance(network, ResNet18Flow) and network.flow is not None:
        for parameter in network.flow.parameters():
            nn.init.normal_(parameter, std=0.1)
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.randn(16, 40, BANDS) * 12.0 - 40.0)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_is_portable_and_computes_what_torch_does(name: str) -> None:
    torch.manual_seed(0)
    network = as_trained(NETWORKS[name]())
    exported = export_graph(network, frames=40, bands=BANDS, dims=network.dims)
    model = onnx.load_from_string(exported.graph)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET}
    assert {node.domain for node in model.graph.node} == {""}
    engine = OnnxEmbedder(exported.graph, input_name=INPUT, output_name=OUTPUT)
    assert engine.dims == network.dims
    for batch in (1, 5):
        features = np.random.default_rng(batch).normal(-40.0, 15.0, (batch, 40, BANDS)).astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(features)).numpy()
        found = engine.embed(features)
        scale = np.abs(expected).max()
        assert np.abs(found - expected).max() <= 1e-5 * scale  # float32 sums in another order
        if batch > 1:
            assert np.ptp(expected, axis=0).max() > 1e-3 * scale  # segments differ by far more than that
