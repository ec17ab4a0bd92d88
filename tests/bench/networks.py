"""Networks to measure: random weights, which cost what trained ones cost, and the graphs made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from torch import nn

from asd_edge.benchmark.throughput import Embed
from asd_edge.dsp.front_end import FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.engines.onnx_session import open_session
from asd_edge.engines.onnx_stream import OnnxStreamEmbedder
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.aggregation import WindowSpec
from asd_export.graph import INPUT, OUTPUT, export_graph
from asd_export.stream_graph import ExportedStream, export_stream
from asd_train.networks.mobilenetv2 import MobileNetV2
from asd_train.networks.tf_resnet import TFResNet

AnyNetwork = TypeVar("AnyNetwork", TFResNet, MobileNetV2)

FRONT_END = FrontEndSpec()
FRAMES_A_SECOND = FRONT_END.sample_rate / FRONT_END.hop
SHIPPED = SegmentSpec(frames=64, step=32)
WINDOW_FRAMES = 311
"""Frames of ten seconds."""


@dataclass(frozen=True)
class Made:
    """A network with its graphs: `window` for ten seconds as a whole, `stream` with the sound."""

    network: TFResNet
    window: bytes
    stream: ExportedStream

    def embedder(self, stream: bytes | None = None, head: bytes | None = None) -> OnnxStreamEmbedder:
        """Load the stream graph and its head, or others in their places, as a device does."""
        given = self.stream
        return OnnxStreamEmbedder(
            stream or given.stream,
            head or given.head,
            tensors=given.tensors,
            bands=FRONT_END.bands,
            pooled_shape=given.pooled,
            reach=given.reach,
        )

    def pipeline(self, segment: SegmentSpec = SHIPPED) -> Pipeline:
        """Return the device's way from sound to embeddings with the stream graph."""
        return Pipeline(FRONT_END, segment, WindowSpec(segments=7), "mean", self.embedder())


@cache
def made(width: float) -> Made:
    """Return a TF-attention ResNet of this width with its graphs."""
    network = random_network(width)
    window = export_graph(network, frames=WINDOW_FRAMES, bands=network.bands, dims=network.dims)
    return Made(network, window.graph, export_stream(network))


def window_session(graph: bytes) -> Embed:
    """Load a whole-window graph as the stream graph is loaded: one thread, the memory of a run kept for the next."""
    session = open_session(graph, inputs=[INPUT], outputs=[OUTPUT], threads=1, arena=True)
    return lambda features: session.run([OUTPUT], {INPUT: features})[0]


def random_network(width: float) -> TFResNet:
    """Return a TF-attention ResNet of this width with random weights."""
    torch.manual_seed(3)
    return with_statistics(TFResNet(width=width))


def with_statistics(network: AnyNetwork) -> AnyNetwork:
    """Give batch norms statistics that are not the identity, as after training, and the input those of sound."""
    random = torch.Generator().manual_seed(4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0.0, 0.1, generator=random)
            module.running_var.uniform_(0.5, 1.5, generator=random)
            module.weight.data.uniform_(0.7, 1.5, generator=random)
    bands = network.bands
    network.standardise.fit(torch.full((bands,), -40.0), torch.full((bands,), 15.0))
    return network.eval()


def multiply_adds_a_second(network: TFResNet) -> float:
    """Return what the convolutions of the trunk multiply and add for a second of one channel's sound."""
    total = 0

    def count(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += output.shape[1] * output.shape[3] * math.prod(module.kernel_size) * module.in_channels

    hooks = [m.register_forward_hook(count) for m in network.trunk.modules() if isinstance(m, nn.Conv2d)]
    with torch.inference_mode():
        network.trunk(torch.zeros(1, 1, 1, network.bands))  # one frame: time is never strided
    for hook in hooks:
        hook.remove()
    return total * FRAMES_A_SECOND
