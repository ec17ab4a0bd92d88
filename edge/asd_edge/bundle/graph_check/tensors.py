"""The tensors that a bundle's graphs take and give, as their manifest says."""

from __future__ import annotations

from dataclasses import dataclass

from asd_edge.bundle.graphs import Graphs

FLOAT, UINT8, INT8, INT32, INT64, BOOL, FLOAT16 = 1, 2, 3, 6, 7, 9, 10  # onnx.TensorProto.DataType
ITEM_BYTES = {FLOAT: 4, UINT8: 1, INT8: 1, INT32: 4, INT64: 8, BOOL: 1, FLOAT16: 2}
"""The data types that a graph may use, and the size of a number of each."""

MOST_DIMS = 8
"""Of a tensor."""

Shapes = dict[str, tuple[int, ...]]
"""By name; the first -1 is the batch, a second one the frames."""


@dataclass(frozen=True)
class GraphTensors:
    """Inputs and outputs of one graph, all of float32, a stream's memory too."""

    inputs: Shapes
    outputs: Shapes

    @classmethod
    def of(cls, graphs: Graphs, member: str) -> GraphTensors:
        """Return those of a member: `segment`, `stream` or `head`, and what follows the first dot does not matter."""
        kind = member.partition(".")[0]
        if kind == "segment" and graphs.segment is not None:
            segment = graphs.segment
            heard = [segment.input] + ([] if segment.spectrum is None else [segment.spectrum])
            return cls({tensor.name: tensor.shape for tensor in heard}, {segment.output.name: segment.output.shape})
        if kind == "stream" and graphs.stream is not None:
            stream = graphs.stream
            pasts = {past.input.name: past.input.shape for past in stream.pasts}
            following = {past.output: past.input.shape for past in stream.pasts}
            given = {tensor.name: tensor.shape for tensor in (stream.frame_features, stream.logits)}
            inputs = {stream.features.name: stream.features.shape} | pasts
            return cls(inputs, given | following)
        if kind == "head" and graphs.stream is not None:
            stream = graphs.stream
            moments = {tensor.name: tensor.shape for tensor in (stream.mean, stream.variance)}
            return cls(moments, {stream.output.name: stream.output.shape})
        raise ValueError(f"no graph for the member {member}")
