"""The range of each tensor of a graph, from what it holds when the graph hears training normals.

A range is all that was seen, from the least to the largest value. What normals hardly ever reach is where anomalies
are, so bounds that clip it (a percentile, the least relative entropy) are compared in tests/bench/calibration.py only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from ..heard import Feed
from .view import GraphView

Range = tuple[float, float]
"""Least and largest value of a tensor; 0 lies between them."""


def find_ranges(graph: bytes, feeds: Sequence[Feed]) -> dict[str, Range]:
    """Return the range of every float tensor of a graph, as it is with these inputs."""
    ranges: dict[str, Range] = {}
    for name, x in tensors(graph, feeds):
        low, high = ranges.get(name, (0.0, 0.0))
        ranges[name] = min(low, float(x.min())), max(high, float(x.max()))
    return ranges


def tensors(graph: bytes, feeds: Sequence[Feed]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield every float tensor that may get a scale, inputs among them, as it is with each of these inputs."""
    session = _session(graph)
    names = [tensor.name for tensor in session.get_outputs()]
    for feed in feeds:
        for name, x in (*zip(names, session.run(names, feed), strict=True), *feed.items()):
            if x.dtype == np.float32 and x.size:
                yield name, x


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    """Load a graph that gives out all that may get a scale."""
    model = onnx.load_from_string(graph)
    view = GraphView(model)
    wanted = {node.input[0] for node in view.layers} | {name for node in view.layers for name in node.output}
    for node in view.nodes:
        if node.op_type in ("Add", "Relu", "Clip", "Concat", "Slice", "MaxPool"):
            wanted |= {name for name in (*node.input, *node.output) if not view.is_constant(name)}
    named = {name for node in view.nodes for name in node.output} & wanted
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(named - set(view.outputs)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # fused tensors are not seen
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
