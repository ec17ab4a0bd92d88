"""The stream graph of the TF-attention ResNet equals the network on the whole signal, in its interior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from asd_edge.dsp.front_end import Frames
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.embedding.streamed import StreamedEmbedding
from asd_edge.engines.onnx_stream import OnnxStreamEmbedder
from asd_edge.errors import EngineError
from asd_edge.pipeline import Pipeline
from asd_export import stream_graph
from asd_export.graph import OPSET
from asd_export.parity import check_parity
from asd_export.stream_graph import export_stream
from asd_train.embedder import torch_pipeline
from asd_train.networks.tf_resnet import TFResNet
from asd_train.networks.tf_resnet_stream import CachedBlock, CachedConvolution, StreamTFResNet
from asd_train.run import Run
from tests.train.tiny_recipe import tiny_recipe

SPEC = SegmentSpec(frames=24, step=8)
LENGTH = 140
REACH = 23  # 3 of the 7×7 convolution, 2 of each of 8 blocks, 1 of each of 4 transitions
TOLERANCE = 1e-5  # cosine distance; measured: 4e-7


def network(pooling: str = "attention") -> TFResNet:
    """A narrow network whose batch norms are not the identity, as after training."""
    torch.manual_seed(3)
    made = TFResNet(width=0.125, pooling=pooling)  # type: ignore[arg-type]  # a Literal by parametrisation
    random = torch.Generator().manual_seed(4)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.1, generator=random)
            module.running_var.uniform_(0.5, 1.5, generator=random)
            module.weight.data.uniform_(0.7, 1.5, generator=random)
    made.standardise.fit(torch.full((128,), -40.0), torch.full((128,), 15.0))
    return made.eval()


def features(seed: int = 0) -> NDArray[np.float32]:
    """Noise whose spectrum wanders, so that segments differ by far more than the tolerance."""
    random = np.random.default_rng(seed)
    tilt = np.linspace(-1.0, 1.0, 128) * np.sin(np.arange(LENGTH) / 9.0)[:, None]
    level = 15.0 * np.cos(np.arange(LENGTH) / 17.0)[:, None]
    return (-40.0 + level + 20.0 * tilt + random.normal(0.0, 8.0, (LENGTH, 128))).astype(np.float32)


def whole(made: TFResNet, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embed the segments of the interior from the trunk's output for the whole signal."""
    with torch.inference_mode():
        heard = made.trunk(made.standardise(torch.from_numpy(x)[None]).unsqueeze(1))
        starts = range(REACH, LENGTH - REACH - SPEC.frames + 1, SPEC.step)
        return np.concatenate([_embed(made, heard[:, :, a : a + SPEC.frames]).numpy() for a in starts])


def _embed(made: TFResNet, heard: Tensor) -> Tensor:
    pooled = heard.mean(dim=2).flatten(1) if made.attention is None else made.attention(heard)
    return nn.functional.normalize(made.embedding(pooled), dim=-1)


def streamed(made: TFResNet, x: NDArray[np.float32], cuts: list[int]) -> NDArray[np.float32]:
    exported = export_stream(made)
    return run(engine(exported), x, cuts)


def engine(exported: stream_graph.ExportedStream) -> OnnxStreamEmbedder:
    return OnnxStreamEmbedder(
        exported.stream,
        exported.head,
        tensors=exported.tensors,
        bands=128,
        pooled_shape=exported.pooled,
        reach=exported.reach,
    )


def run(embedder: OnnxStreamEmbedder, x: NDArray[np.float32], cuts: list[int]) -> NDArray[np.float32]:
    embedding = StreamedEmbedding(embedder, SPEC, 128)
    state, power = embedding.initial_state(), np.ones(LENGTH, np.float32)
    parts = [
        embedding.advance([state], [Frames(a, x[a:b], power[a:b], power[a:b])])[0].embeddings
        for a, b in pairwise([0, *sorted(cuts), LENGTH])
    ]
    return np.concatenate(parts)


def check(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    assert found.shape == expected.shape
    between = 1.0 - expected[0] @ expected[len(expected) // 2]
    assert between > 1000 * TOLERANCE, "segments too alike for a test"
    assert (1.0 - np.sum(found.astype(np.float64) * expected, axis=1)).max() <= TOLERANCE


@pytest.fixture(scope="module")
def trained() -> TFResNet:
    return network()


@pytest.fixture(scope="module")
def embedder(trained: TFResNet) -> OnnxStreamEmbedder:
    return engine(export_stream(trained))


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, LENGTH), max_size=10), seed=st.integers(0, 3))
def test_any_partition_equals_the_whole_signal(
    trained: TFResNet, embedder: OnnxStreamEmbedder, cuts: list[int], seed: int
) -> None:
    x = features(seed)
    check(run(embedder, x, cuts), whole(trained, x))


@pytest.mark.parametrize("deviation_db", [0.0, 0.02, 0.5])
def test_steady_sounds_and_silence_are_embedded_alike_too(
    trained: TFResNet, embedder: OnnxStreamEmbedder, deviation_db: float
) -> None:
    """A variance that is nearly nothing must not become noise: roots are steep at 0, and length 1 is made of little."""
    random = np.random.default_rng(5)
    x = (-60.0 + 10.0 * random.normal(size=128) + deviation_db * random.normal(size=(LENGTH, 128))).astype(np.float32)
    found, expected = run(embedder, x, [70]), whole(trained, x)
    assert (1.0 - np.sum(found.astype(np.float64) * expected, axis=1)).max() <= TOLERANCE


def test_average_pooling_streams_too() -> None:
    made, x = network("average"), features()
    check(streamed(made, x, [50, 51, 90]), whole(made, x))


def test_maximum_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="maximum"):
        export_stream(network("max"))


def test_the_graphs_are_portable_and_small(trained: TFResNet) -> None:
    exported = export_stream(trained)
    for graph in (exported.stream, exported.head):
        model = onnx.load_from_string(graph)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
        assert b"site-packages" not in graph
    assert exported.reach == REACH
    assert len(exported.stream) < 4.2 * sum(p.numel() for p in trained.trunk.parameters()) + 100_000


def test_the_state_of_the_published_width_is_small() -> None:
    """kernel − 1 frames of each of 21 convolutions: 6 · 128 + 4 stages · 5 convolutions · 2 frames · 2048 numbers.

    The shortcut needs no memory of its own: [past, new] of the block's first convolution holds it.
    """
    shapes = StreamTFResNet(TFResNet().eval()).state_shapes
    assert len(shapes) == 21
    assert sum(int(np.prod(shape)) for shape in shapes) == 6 * 128 + 4 * 5 * 2 * 2048 == 82_688


def _without_cache(cached: CachedConvolution, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y, joined, following = _forward(cached, x, past)
    last = cached.convolution.in_channels == 16 and cached.past == 2  # the last stage's alone
    return y, joined, following * (0.0 if last else 1.0)


def _undelayed(block: CachedBlock, x: Tensor, pasts: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    y, joined, first = block.cached1(x, pasts[0])
    y, _, second = block.cached2(torch.relu(y), pasts[1])
    return torch.relu(joined[:, :, 1 : 1 + x.shape[2]] + y), [first, second]


_forward = CachedConvolution.forward


@pytest.mark.parametrize(
    ("part", "mutant"),
    [(CachedConvolution, _without_cache), (CachedBlock, _undelayed)],
    ids=["a cache dropped", "a shortcut one frame too early"],
)
def test_the_checker_catches(
    trained: TFResNet, monkeypatch: pytest.MonkeyPatch, part: type[nn.Module], mutant: Callable[..., object]
) -> None:
    x = features()
    with monkeypatch.context() as patch:
        patch.setattr(part, "forward", mutant)
        broken = engine(export_stream(trained))
    with pytest.raises(AssertionError):
        check(run(broken, x, [50, 51, 90]), whole(trained, x))


def test_a_reach_one_off_is_caught(trained: TFResNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TFResNet, "reach", property(lambda self: REACH - 1))
    x = features()
    with pytest.raises(AssertionError):
        check(streamed(trained, x, [50]), whole(trained, x))


def as_run(made: TFResNet) -> Run:
    recipe = tiny_recipe()
    nothing: tuple[str, ...] = ()
    return Run(recipe, 0, nothing, None, nothing, nothing, (), made)


def as_pipeline(made: TFResNet) -> Pipeline:
    return replace(torch_pipeline(as_run(made)), embedder=engine(export_stream(made)))


def test_the_exporter_compares_with_the_trained_network_and_not_with_its_own_rewiring(
    trained: TFResNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_parity(trained, as_pipeline(trained))
    with monkeypatch.context() as patch:
        patch.setattr(CachedBlock, "forward", _undelayed)
        broken = as_pipeline(trained)
    with pytest.raises(EngineError, match="does not embed"):
        check_parity(trained, broken)
