"""A network of two inputs from torch to the device: graph, parity, bundle, segments that come with their spectra."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asd_edge.bundle.archive import load_bundle
from asd_edge.bundle.fields import FrontEndFields, SegmentFields
from asd_edge.bundle.graphs import Graphs
from asd_edge.dsp.clip_spectrum import ClipSpectrumSpec
from asd_edge.dsp.front_end import FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.errors import EngineError
from asd_edge.pipeline import Pipeline, SegmentStream
from asd_export.graph import ExportedGraph, export_graph
from asd_export.graphs import described
from asd_export.parity import check_parity
from asd_train.embedder import TorchEmbedder
from asd_train.networks.ensemble import Ensemble
from asd_train.networks.network import EmbeddingNetwork
from asd_train.networks.two_branch import TwoBranch
from tests.edge.tiny_bundle import make_tiny_bundle

FRONT_END = FrontEndSpec(window=64, hop=32, feature="magnitude")
SEGMENT = SegmentSpec(frames=40, step=10, level="standardised", spectrum=True)
BANDS, BINS = 33, 656  # of 39 · 32 + 64 samples


class Bands(EmbeddingNetwork):
    """Sixteen random mixtures of the mean frame and the spectrum: as small as a network of two inputs can be."""

    hears_spectrum = True

    def __init__(self) -> None:
        super().__init__()
        self.bands, self.dims = BANDS, 16
        self.mixture = torch.nn.Linear(BANDS + BINS, 16)

    def forward(self, features: torch.Tensor, spectrum: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.mixture(torch.cat([features.mean(dim=1), spectrum], dim=1))
        return mixed


def two_branch() -> EmbeddingNetwork:
    torch.manual_seed(0)
    network = TwoBranch(bands=BANDS, bins=BINS).train()
    with torch.no_grad():
        for _ in range(3):  # batch norms with statistics of their own, or a wrong folding would not show
            network(torch.rand(8, 40, BANDS) * 10, torch.rand(8, BINS) * 30)
    return network.eval()


def ensemble() -> EmbeddingNetwork:
    torch.manual_seed(0)
    return Ensemble([Bands(), Bands()]).eval()


@pytest.fixture(scope="module", params=[two_branch, ensemble], ids=["two-branch", "an ensemble"])
def network(request: pytest.FixtureRequest) -> EmbeddingNetwork:
    made: EmbeddingNetwork = request.param()
    return made


@pytest.fixture(scope="module")
def exported(network: EmbeddingNetwork) -> ExportedGraph:
    return export_graph(network, frames=SEGMENT.frames, bands=BANDS, bins=BINS, dims=network.dims)


@pytest.fixture
def pipeline(exported: ExportedGraph, tmp_path: Path) -> Pipeline:
    """The pipeline of a bundle that was written and read."""
    assert ClipSpectrumSpec.beside(FRONT_END, SEGMENT).bins == BINS
    make_tiny_bundle(
        tmp_path / "two.asd",
        front_end=FrontEndFields.of(FRONT_END),
        segment=SegmentFields.of(SEGMENT),
        graphs=Graphs(segment=described(exported), stream=None),
        graphs_bytes={"segment.fp32.onnx": exported.graph},
        machines=(),
    )
    return load_bundle(tmp_path / "two.asd").pipeline()


def test_the_device_embeds_as_the_trained_network_does(network: EmbeddingNetwork, pipeline: Pipeline) -> None:
    trained = replace(pipeline, embedder=TorchEmbedder(network))
    samples = np.random.default_rng(1).normal(0.0, 0.1, 12_000).astype(np.float32)
    expected = SegmentStream(trained).push(samples)
    stream = SegmentStream(pipeline)
    found = stream.push(samples[:5000]).joined(stream.push(samples[5000:]))
    assert found.first_frame.tolist() == expected.first_frame.tolist()
    assert found.embeddings.shape == (34, network.dims)  # more than one run's largest batch
    largest = np.abs(expected.embeddings).max()
    np.testing.assert_allclose(found.embeddings, expected.embeddings, rtol=0.0, atol=1e-5 * largest)
    assert np.abs(expected.embeddings[1:] - expected.embeddings[0]).max() > 1e-3 * largest  # segments lie apart


def test_no_segments_give_no_embeddings(network: EmbeddingNetwork, pipeline: Pipeline) -> None:
    assert SegmentStream(pipeline).push(np.zeros(100, np.float32)).embeddings.shape == (0, network.dims)


def test_the_exporter_compares_both_inputs(network: EmbeddingNetwork, pipeline: Pipeline) -> None:
    check_parity(network, pipeline)

    class Deaf(TorchEmbedder):
        def embed(self, features, spectra=None):  # type: ignore[no-untyped-def] # as the protocol
            return super().embed(features, np.zeros_like(spectra))

    with pytest.raises(EngineError, match="does not embed"):
        check_parity(network, replace(pipeline, embedder=Deaf(network)))


def test_a_graph_of_two_inputs_wants_both(pipeline: Pipeline) -> None:
    deaf = replace(pipeline, segment=SegmentSpec(frames=40, step=10))
    with pytest.raises(ValueError, match="shorter"):
        SegmentStream(deaf).push(np.ones(2000, np.float32))
