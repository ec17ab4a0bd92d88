"""Torch network -> stream graph and head: the network with its memory as inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from asd_edge.engines.onnx_stream import PastTensor, StreamTensors
from asd_train.networks.tf_resnet import TFResNet
from asd_train.networks.tf_resnet_stream import PooledHead, StreamTFResNet

from .graph import BATCH, OUTPUT, onnx_of

_FRAMES = torch.export.Dim("frames", min=1, max=4096)


@dataclass(frozen=True)
class ExportedStream:
    """Two serialised graphs, their tensors, and what the runtime must know of them.

    `reach`: frames of context on either side. `pooled`: (bands, heads, depth) of what the network gives for a frame.
    """

    stream: bytes
    head: bytes
    tensors: StreamTensors
    reach: int
    pooled: tuple[int, int, int]


def export_stream(network: TFResNet) -> ExportedStream:
    """Export a trained network to run with the sound. Channels are the batch; any number of frames goes in.

    Raises:
        ValueError: a network that cannot be computed frame by frame.
        EngineError: the exporter produced a graph that is not portable.
    """
    stream, head = StreamTFResNet(network), PooledHead(network)
    example = torch.zeros(2, 3, network.bands)
    pasts = [torch.zeros(2, *shape) for shape in stream.state_shapes]
    names = tuple(
        PastTensor(f"past_{i:02}", f"next_past_{i:02}", tuple(shape)) for i, shape in enumerate(stream.state_shapes)
    )
    tensors = StreamTensors("features", "frame_features", "logits", names, "mean", "variance", OUTPUT)
    bands, heads, depth = stream.pooled_shape
    stream_graph = onnx_of(
        stream,
        [example, *pasts],
        inputs=[tensors.features, *(past.input for past in names)],
        outputs=[tensors.frame_features, tensors.logits, *(past.output for past in names)],
        axes=[{0: BATCH, 1: _FRAMES}, *({0: BATCH} for _ in pasts)],
    )
    mean, variance = (torch.zeros(2, bands, heads, depth) for _ in range(2))  # one tensor twice would be one input
    head_graph = onnx_of(
        head,
        [mean, variance],
        inputs=[tensors.mean, tensors.variance],
        outputs=[tensors.embedding],
        axes=[{0: BATCH}, {0: BATCH}],
    )
    return ExportedStream(stream_graph, head_graph, tensors, stream.reach, (bands, heads, depth))
